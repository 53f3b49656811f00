"""The loss that fits a model and its targets, and targets that a loss would misread."""

from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import message
from keras_deeptools.engine._graph.calls import final_activation
from keras_deeptools.engine._keras_private.versions import loss_argument

SPARSE, CATEGORICAL, BINARY = "sparse", "categorical", "binary"

_KINDS = {
    "sparsecategoricalcrossentropy": SPARSE,
    "categoricalcrossentropy": CATEGORICAL,
    "categoricalfocalcrossentropy": CATEGORICAL,
    "binarycrossentropy": BINARY,
    "binaryfocalcrossentropy": BINARY,
}

INDICES = "`np.unique(y, return_inverse=True)[1]`"


def the_loss(loss: Any) -> Any:
    """The loss of a model of one output, which may be given in a list or dict."""
    if isinstance(loss, dict) and len(loss) == 1:
        return next(iter(loss.values()))
    if isinstance(loss, list | tuple) and len(loss) == 1:
        return loss[0]
    return loss


def kind_of(loss: Any) -> str | None:
    """The targets that a loss takes: classes, one-hot or yes and no; None if unknown.

    Args:
        loss: As in `compile`.

    Example:

    >>> from keras_deeptools.transfer._fine_tune.chosen_loss import kind_of
    >>> kind_of("sparse_categorical_crossentropy"), kind_of("mse")
    ('sparse', None)
    """
    loss = the_loss(loss)
    if isinstance(loss, str):
        try:
            # Some have short names: "bce".
            loss = keras.losses.get(loss)
        except ValueError:
            return None
    name = getattr(loss, "__name__", None)
    name = type(loss).__name__ if name is None else name
    return _KINDS.get(name.replace("_", "").lower())


def takes_logits(loss: Any) -> bool:
    """Whether a loss object expects what stands before softmax or sigmoid."""
    return bool(_configured(the_loss(loss), "from_logits"))


def ignored_class(loss: Any) -> int | None:
    """The class whose places a loss leaves out, if there is one."""
    return _configured(the_loss(loss), "ignore_class")


def _configured(loss: Any, name: str) -> Any:
    """An argument of a loss object, or of a partial function."""
    keywords = getattr(loss, "keywords", None) or {}
    return loss_argument(loss, name, keywords.get(name))


def chosen_loss(owner: str, model: keras.Model, y: Any) -> str:
    """Name of the cross-entropy for a model that ends in softmax or sigmoid.

    Softmax with whole numbers, one for each sample, pixel or token:
    `"sparse_categorical_crossentropy"`; with one-hot targets in the shape of the
    outputs: `"categorical_crossentropy"`. Sigmoid: `"binary_crossentropy"`. Nothing
    else says by itself what it is trained for.

    Args:
        owner: Str. Who is named in errors.
        model: `keras.Model`.
        y: Targets, or a batch of them.

    Raises:
        ValueError: If nothing can be told.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.transfer._fine_tune.chosen_loss import chosen_loss
    >>> head = keras.layers.Dense(3, "softmax")
    >>> model = keras.Sequential([keras.Input((2,)), head])
    >>> chosen_loss("fine_tune", model, np.array([0, 2, 1]))
    'sparse_categorical_crossentropy'
    >>> pixels = keras.Sequential([keras.Input((8, 8, 2)), head])
    >>> chosen_loss("fine_tune", pixels, np.zeros((5, 8, 8), "uint8"))
    'sparse_categorical_crossentropy'
    """
    outputs = getattr(model, "outputs", None) or []
    if len(outputs) != 1:
        raise _untold(owner, "the model has no graph, or several outputs")
    activation = final_activation(outputs[0])
    if activation not in ("softmax", "sigmoid"):
        raise _untold(owner, f"the model ends in {activation}")
    values, places = np.asarray(y), tuple(outputs[0].shape[1:])
    found = f"`y` is of dtype {values.dtype} and shape {values.shape}"
    ends = f"the outputs are of shape {tuple(outputs[0].shape)} and {found}"
    if values.dtype.kind not in "biuf":
        raise _untold(owner, found)
    same = _fits(values.shape[1:], places)
    one_each = _fits(values.shape[1:], places[:-1]) or _fits(
        values.shape[1:], (*places[:-1], 1)
    )
    if activation == "sigmoid":
        if same or (one_each and places[-1:] in ((), (1,))):
            return "binary_crossentropy"
        raise _untold(owner, ends)
    if same:
        _check_exclusive(owner, values)
        return "categorical_crossentropy"
    if one_each and (values.dtype.kind in "biu" or _are_whole(values)):
        return "sparse_categorical_crossentropy"
    if one_each:
        odd = values[values != np.round(values)]
        raise _untold(owner, f"`y` holds {odd.flat[0]:g}, which is no class")
    raise _untold(owner, ends)


def fitting_metrics(metrics: Iterable[Any], tensor: Any, loss: Any) -> list[Any]:
    """Metrics with an "accuracy" that fits outputs of several independent classes.

    Keras takes "accuracy" of more than one output for that of classes that exclude one
    another, and of logits for that of probabilities.

    Args:
        metrics: As in `compile`, of one output.
        tensor: `keras.KerasTensor`, the output.
        loss: As in `compile`.

    Example:

    >>> import keras
    >>> from keras_deeptools.transfer._fine_tune.chosen_loss import fitting_metrics
    >>> labels = keras.layers.Dense(3, "sigmoid")(keras.Input((2,)))
    >>> found = fitting_metrics(["accuracy"], labels, "binary_crossentropy")
    >>> type(found[0]).__name__, found[0].name
    ('BinaryAccuracy', 'accuracy')
    """
    logits = takes_logits(loss)
    sigmoid = final_activation(tensor) == "sigmoid"
    several = tensor.shape[-1] not in (None, 1)
    independent = kind_of(loss) == BINARY or (sigmoid and kind_of(loss) is None)
    if not independent or not (several or logits):
        return list(metrics)
    return [_binary(each, logits) for each in metrics]


def are_one_hot(values: np.ndarray) -> bool:
    """Whether the last axis holds shares of classes, which sum to 1."""
    if not values.size or values.min() < 0:
        return not values.size
    return bool(np.allclose(values.sum(axis=-1, dtype="float64"), 1, atol=1e-3))


def _binary(metric: Any, logits: bool) -> Any:
    if not isinstance(metric, str) or metric.lower() not in ("accuracy", "acc"):
        return metric
    threshold = 0.0 if logits else 0.5
    return keras.metrics.BinaryAccuracy(name=metric, threshold=threshold)


def _fits(shape: Sequence[int], expected: Sequence[int | None]) -> bool:
    """Whether a shape is as expected, as far as that is known."""
    return len(shape) == len(expected) and all(
        wanted in (None, size) for size, wanted in zip(shape, expected, strict=True)
    )


def _are_whole(values: np.ndarray) -> bool:
    return bool(np.all(values == np.round(values)))


def _check_exclusive(owner: str, values: np.ndarray) -> None:
    if not are_one_hot(values):
        sums = values.sum(axis=-1, dtype="float64")
        raise ValueError(
            f"{owner}: `y` must be one-hot for a model that ends in softmax, whose "
            f"classes exclude one another. Received: samples whose targets sum to "
            f"between {sums.min():g} and {sums.max():g}. For several labels at a time "
            "end the model in sigmoid: `classifier(..., activation='sigmoid')`."
        )


def _untold(owner: str, why: str) -> ValueError:
    rule = "given, as the model is not compiled and its end does not tell"
    remedy = f"It can be told from softmax or sigmoid, but {why}."
    return ValueError(message(owner, "loss", rule, None, remedy))


def check_is_no_list(owner: str, argument: str, value: Any) -> None:
    """Raises if data are numbers or strings in a list, which Keras does not take.

    Args:
        owner: Str. Who is named in errors.
        argument: Str.
        value: Inputs or targets, as a user gives them.

    Raises:
        TypeError: With what to give.
    """
    first = value
    while isinstance(first, list | tuple) and len(first):
        first = first[0]
    plain = str | bytes | bool | int | float | np.generic
    if first is not value and isinstance(first, plain):
        rule = "an array, or several of them"
        kind = f"a {type(value).__name__} of values such as {first!r}"
        remedy = f"Give `np.array({argument})`."
        if argument != "x" and isinstance(first, str | bytes):
            remedy = f"Number the classes: {INDICES}."
        raise TypeError(message(owner, argument, rule, kind, remedy))


def check_label_types(owner: str, y: Any, argument: str = "y") -> None:
    """Raises if targets are names of classes, or numbers in a list.

    Args:
        owner: Str. Who is named in errors.
        y: Targets, as a user gives them.
        argument: Str.

    Raises:
        TypeError: With what to give.
    """
    check_is_no_list(owner, argument, y)
    for leaf in keras.tree.flatten(y):
        values = leaf.to_numpy() if hasattr(leaf, "to_numpy") else leaf
        dtype = getattr(values, "dtype", None)
        first = None
        if getattr(dtype, "kind", "") in ("U", "S", "O") and values.size:
            first = np.ravel(values)[0]
        if isinstance(first, str | bytes) or "string" in str(dtype):
            rule = "numbers: class indices from 0 on, or one-hot rows"
            found = "names of classes" + (f", such as {first!s}" if first else "")
            remedy = f"Number the classes: {INDICES}."
            raise TypeError(message(owner, argument, rule, found, remedy))


def check_labels(
    owner: str, loss: Any, outputs: Any, y: Any, argument: str = "y"
) -> None:
    """Raises if labels are outside of the classes, which a backend may train on.

    Args:
        owner: Str. Who is named in errors.
        loss: As in `compile`.
        outputs: `keras.KerasTensor` of the model's only output, or None.
        y: Array of targets, or of a batch.
        argument: Str.

    Raises:
        ValueError: With what to do.
    """
    kind = kind_of(loss)
    count = None if outputs is None else outputs.shape[-1]
    values = np.asarray(y)
    if kind is None or not values.size or values.dtype.kind not in "iuf":
        return
    if outputs is not None:
        _check_shape(owner, kind, outputs, values, argument)
    if kind == CATEGORICAL:
        return
    if kind == BINARY:
        low, high = values.min(), values.max()
        if not (low >= 0 and high <= 1):
            remedy = "Give 1 for yes and 0 for no"
            remedy += ": `(y + 1) / 2`." if low == -1 and high == 1 else "."
            rule = "in [0, 1] for a binary cross-entropy"
            found = f"values from {low} to {high}"
            raise ValueError(message(owner, argument, rule, found, remedy))
        return
    ignored = ignored_class(loss)
    kept = values if ignored is None else values[values != ignored]
    if count is None or not kept.size:
        return
    low, high = kept.min(), kept.max()
    if low >= 0 and high < count:
        return
    outside = np.unique(kept[(kept < 0) | ~(kept < count)])
    if low == 1 and high == count:
        remedy = "Classes are counted from 0: subtract 1."
    elif len(outside) == 1 and values.ndim > 1 and np.isfinite(outside[0]):
        remedy = (
            f"To leave out the places with {outside[0]:g}, give "
            "loss=keras.losses.SparseCategoricalCrossentropy("
            f"ignore_class={int(outside[0])})."
        )
    else:
        remedy = f"Give the last layer more units, or number the classes: {INDICES}."
    rule = f"classes from 0 to {count - 1}, as the model has {count} outputs"
    found = f"labels from {low:g} to {high:g}"
    raise ValueError(message(owner, argument, rule, found, remedy))


def _check_shape(
    owner: str, kind: str, outputs: Any, values: np.ndarray, argument: str
) -> None:
    """Raises for one-hot targets if a loss takes classes, and the other way round."""
    count, rank = outputs.shape[-1], len(outputs.shape)
    if count in (None, 1):
        return
    shape = values.shape[:-1] if values.shape[-1:] == (1,) else values.shape
    one_each = len(shape) == rank - 1
    given = f"shape {values.shape}"
    if kind == SPARSE and values.ndim == rank and values.shape[-1] == count:
        rule = "one class for each row or place, for a sparse categorical cross-entropy"
        remedy = (
            "Give loss='categorical_crossentropy' for one-hot rows, or "
            f"`{argument}.argmax(-1)`."
        )
    elif kind == CATEGORICAL and one_each:
        rule = f"one-hot rows of {count} classes for a categorical cross-entropy"
        remedy = (
            "Give loss='sparse_categorical_crossentropy' for class indices, or "
            f"`keras.utils.to_categorical({argument}, {count})`."
        )
    elif kind == BINARY and one_each:
        rule = f"0 or 1 for each of the {count} outputs, for a binary cross-entropy"
        remedy = (
            "For classes that exclude one another end the model in softmax; one yes "
            "or no needs one output."
        )
    else:
        return
    raise ValueError(message(owner, argument, rule, given, remedy))


def check_class_weight(owner: str, loss: Any, class_weight: Any, y: Any) -> None:
    """Raises if Keras would weight samples by something else than their class.

    Keras takes the position of a target's largest entry for its class.

    Args:
        owner: Str. Who is named in errors.
        loss: As in `compile`.
        class_weight: As in `fit`.
        y: Array of targets, or of a batch.

    Raises:
        ValueError: If the target of a sample has several labels.
    """
    values = np.asarray(y)
    shape = values.shape
    if class_weight is None or values.ndim < 2 or shape[1:] == (1,):
        return
    kind = kind_of(loss)
    exclusive = kind != BINARY and values.ndim == 2 and are_one_hot(values)
    if exclusive and kind != SPARSE:
        return
    places = values.ndim > 2 or kind == SPARSE
    several = "a label in each place" if places else "several labels"
    raise ValueError(
        f"{owner}: `class_weight` must be None where a sample of `y` has {several}, "
        "because Keras takes the position of the largest number for the class of the "
        f"sample. Received: class_weight={class_weight!r} and `y` of shape {shape}. "
        "Give `sample_weight`, an array with a weight for each sample"
        + (", or for each place." if places else ".")
    )
