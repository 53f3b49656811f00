"""The loss and the accuracy that fit the last activation of a model and its targets."""

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


def the_loss(loss: Any) -> Any:
    """The loss of a model of one output, which may be given in a list or dict."""
    if isinstance(loss, dict) and len(loss) == 1:
        return next(iter(loss.values()))
    if isinstance(loss, list | tuple) and len(loss) == 1:
        return loss[0]
    return loss


def kind_of(loss: Any) -> str | None:
    """What a loss takes for targets: classes, one-hot rows or yes and no; else None.

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

    Softmax with whole numbers, one for each row, pixel or token:
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
