"""Explains why a training step failed on a batch, in terms of the user's arguments."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._backends.active import training
from keras_deeptools.engine._keras_private.layers import flat_layers
from keras_deeptools.engine._keras_private.training import compiled_loss, loss_given
from keras_deeptools.engine._keras_private.versions import loss_argument
from keras_deeptools.engine._passes.compiled_with import computes_loss
from keras_deeptools.engine._update.step_reads import has_own_train_step


@contextlib.contextmanager
def explained_step(
    owner: str, model: keras.Model, sample: Callable[[], Any]
) -> Iterator[None]:
    """Names the argument and the remedy where a step fails because of the data.

    Args:
        owner: Str. Name of the caller, for errors.
        model: `keras.Model`, compiled.
        sample: Function that returns a batch, or all of the data, as `fit` hands it to
            the step.

    Raises:
        ValueError: Where the data explain the error, which is its cause then. Other
            errors pass.
    """
    try:
        yield
    except Exception as error:
        if str(error).startswith(f"{owner}:"):
            raise
        reason = ""
        # An error while checking the data must not replace the error itself.
        with contextlib.suppress(Exception):
            reason = misfit_of(model, sample())
        if not reason:
            raise
        raise ValueError(f"{owner}: {reason}") from error


def misfit_of(model: keras.Model, batch: Any) -> str:
    """Says what does not fit in a batch, and the remedy; empty if nothing is found.

    Args:
        model: `keras.Model`, compiled.
        batch: What `fit` hands to the step.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.engine._data.step_errors import misfit_of
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")])
    >>> model.compile("sgd", loss="categorical_crossentropy")
    >>> misfit_of(model, (np.ones((2, 4)), np.array([0, 2])))[:44]
    '`y` must be one-hot for `categorical_crossen'
    """
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
    named = {"x": x, "y": y, "sample_weight": sample_weight}
    for name, value in named.items():
        text = text_in(value)
        if text is not None and (name != "x" or not takes_text(model)):
            return _of_text(name, text)
    if has_own_train_step(model) or computes_loss(model):
        return ""
    reason = without_loss(model)
    if reason:
        return reason
    if y is None and compiled_loss(model) is not None and not model.losses:
        return (
            f"`y` must be given for a model that is compiled with a loss. Received: "
            f"y=None with loss={loss_given(model)!r}. Pass the targets as `y`, or "
            "let the dataset yield (x, y)."
        )
    return _of_inputs(model, x) or _of_targets(model, x, y)


def without_loss(model: keras.Model) -> str:
    """The remedy for a model without a loss; empty if it has one.

    On JAX such a model trains silently, with a loss of 0. Layers may add losses in
    their calls, so use this after a first call.

    Args:
        model: `keras.Model`, compiled and called.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._data.step_errors import without_loss
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    >>> model.compile("sgd")
    >>> without_loss(model)[:42]
    'the model must be compiled with a loss, or'
    """
    own = has_own_train_step(model) or computes_loss(model)
    if own or compiled_loss(model) is not None or model.losses:
        return ""
    return (
        "the model must be compiled with a loss, or compute one in a `train_step` "
        f"or `compute_loss` of its own. Received: model={model.name!r}, compiled "
        "without. Call `model.compile(optimizer, loss=...)`; a loop of your own "
        "is not seen from here."
    )


def text_in(value: Any) -> str | None:
    """One of the strings in the data, or None."""
    for leaf in keras.tree.flatten(value):
        dtype = getattr(leaf, "dtype", None)
        kind = getattr(dtype, "kind", "")
        if "string" in str(dtype) or kind in ("O", "U", "S"):
            first = np.asarray(leaf).ravel()[0]
            return first.decode() if isinstance(first, bytes) else str(first)
    return None


def classes_outside(
    model: keras.Model, sample: Callable[[], Any], where_silent: bool = False
) -> str:
    """What `misfit_of` says about labels that are not classes of the model.

    Args:
        model: `keras.Model`, compiled.
        sample: As in `explained_step`.
        where_silent: Bool. Whether to look only where training with such labels raises
            no error, which is on JAX.
    """
    if where_silent and not training.SILENT_ON_WRONG_LABELS:
        return ""
    # If the data cannot be read here, the step itself reports what is wrong.
    with contextlib.suppress(Exception):
        reason = misfit_of(model, sample())
        if "must hold classes in" in reason:
            return reason
    return ""


def takes_text(model: keras.Model) -> bool:
    """Whether a layer turns text into numbers."""
    kinds = (keras.layers.TextVectorization, keras.layers.StringLookup)
    text = (*kinds, keras.layers.Hashing, keras.layers.HashedCrossing)
    return any(isinstance(layer, text) for layer in flat_layers(model))


def _of_text(name: str, text: str) -> str:
    if name == "y":
        return (
            f"`y` must be numbers. Received: objects or strings such as {text!r}. "
            "Number the classes: `classes, y = np.unique(y, return_inverse=True)`."
        )
    return (
        f"`{name}` must be numbers. Received: objects or strings such as {text!r}. "
        "Encode them first (`keras.layers.TextVectorization`, "
        '`keras.layers.StringLookup`), or convert with `.astype("float32")`.'
    )


def _of_inputs(model: keras.Model, x: Any) -> str:
    declared = list(getattr(model, "inputs", None) or [])
    arrays = [leaf for leaf in keras.tree.flatten(x) if leaf is not None]
    if not declared:
        return ""
    if len(arrays) != len(declared):
        return (
            f"`x` must hold an array for each of the {len(declared)} inputs of the "
            f"model. Received: {len(arrays)}. Pass a list, or a dict from names to "
            "arrays."
        )
    if len(declared) > 1:
        return ""
    want, have = tuple(declared[0].shape), tuple(arrays[0].shape)
    fits = len(want) == len(have) and all(
        w in (None, h) for w, h in zip(want[1:], have[1:], strict=True)
    )
    if fits or (len(want) != len(have) and 1 in (want[-1], have[-1])):
        return ""
    return (
        f"`x` must have the shape of the model's input, {want}. Received: "
        f"shape={have}. Reshape the data, or declare another `keras.Input`."
    )


def _of_targets(model: keras.Model, x: Any, y: Any) -> str:
    if compiled_loss(model) is None or y is None:
        return ""
    specs = keras.tree.map_structure(
        lambda v: keras.KerasTensor(v.shape, keras.backend.standardize_dtype(v.dtype)),
        x,
    )
    outputs = keras.tree.flatten(model.compute_output_spec(specs))
    targets = keras.tree.flatten(y)
    losses = keras.tree.flatten(loss_given(model))
    if len(targets) != len(outputs):
        return (
            f"`y` must hold an array for each of the {len(outputs)} outputs of the "
            f"model. Received: {len(targets)}. Pass a list, or a dict from names to "
            "arrays."
        )
    if len(losses) == 1:
        losses *= len(outputs)
    if len(losses) != len(outputs):
        return ""
    several = len(outputs) > 1
    names = list(getattr(model, "output_names", None) or range(len(outputs)))
    for name, loss, output, target in zip(names, losses, outputs, targets, strict=True):
        where = f"y[{name!r}]" if several else "y"
        reason = _of_target(where, loss, tuple(output.shape), target)
        if reason:
            return reason
    return ""


def _of_target(where: str, loss: Any, output: tuple[Any, ...], target: Any) -> str:
    kind = getattr(loss, "name", None) or getattr(loss, "__name__", None) or str(loss)
    kind = kind.lower()
    shape, classes = tuple(target.shape), output[-1] if output else None
    received = f"Received: `{where}` of shape {shape} for outputs of shape {output}."
    if "sparse" in kind and "crossentropy" in kind:
        if len(shape) == len(output) and shape[-1] == classes != 1:
            return (
                f"`{where}` must be integer classes for "
                f"`sparse_categorical_crossentropy`. {received} If it is one-hot, "
                'compile with `loss="categorical_crossentropy"`, or pass '
                f"`np.argmax({where}, axis=-1)`."
            )
        values = np.asarray(keras.ops.convert_to_numpy(target))
        values = values[values != loss_argument(loss, "ignore_class")]
        if values.size and classes and not 0 <= values.min() <= values.max() < classes:
            return (
                f"`{where}` must hold classes in [0, {classes}), the outputs that the "
                f"model has. Received: classes from {values.min():g} to "
                f"{values.max():g}. Number the classes from 0 "
                "(`np.unique(y, return_inverse=True)`), or give the last layer more "
                "units."
            )
    elif "categorical" in kind and "binary" not in kind:
        one_each = len(shape) == len(output) - 1 or (
            len(shape) == len(output) and shape[-1] == 1
        )
        if one_each and classes not in (None, 1):
            return (
                f"`{where}` must be one-hot for `categorical_crossentropy`. {received} "
                "If it is integer classes, compile with "
                '`loss="sparse_categorical_crossentropy"`, or pass '
                f"`keras.utils.to_categorical({where}, {classes})`."
            )
    odd = any(
        None not in (have, want) and have != want and have != 1
        for have, want in zip(shape[1:], output[1:], strict=False)
    )
    if odd or (len(shape) != len(output) and classes != 1 and "sparse" not in kind):
        return (
            f"`{where}` must have the shape of the model's outputs. {received} Give "
            "the last layer as many units as there are targets, or reshape."
        )
    return ""
