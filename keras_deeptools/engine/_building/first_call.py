"""Building a model from data, with the weights that a first `fit` would give it."""

import re
from typing import Any

import keras

from keras_deeptools.engine._keras_private.layers import flat_layers, output_spec
from keras_deeptools.engine._state.random_state import RandomState

MOST_OF_A_REASON = 300


def has_call(model: Any) -> bool:
    """Whether a model can be called; one with its own `train_step` need not be.

    Args:
        model: `keras.Layer`, for instance a model.
    """
    return type(model).call not in (keras.Model.call, keras.Layer.call)


def is_built(model: Any) -> bool:
    """Whether all variables of a model exist.

    Args:
        model: `keras.Layer`, for instance a model.
    """
    layers = flat_layers(model, include_self=has_call(model))
    return all(layer.built for layer in layers)


def build_on(model: Any, x: Any) -> None:
    """Builds what of a model is not built, from inputs, as the first `fit` does.

    Initial weights come from the seeds that the layers were made with, so they are the
    ones that training would have begun with. Nothing but shapes and types of the inputs
    is used, unless the model's own `call` needs numbers.

    Args:
        model: `keras.Model` with a `call`.
        x: Inputs: array or nested structure of arrays.

    Raises:
        Exception: What the model raises for such inputs.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.engine._building.first_call import build_on
    >>> model = keras.Sequential([keras.layers.Dense(2)])
    >>> build_on(model, np.ones((4, 3)))
    >>> tuple(model.layers[0].kernel.shape)
    (3, 2)
    """
    if not is_built(model):
        try_on(model, x)


def try_on(model: Any, x: Any) -> None:
    """Passes inputs through a model, by their shapes alone if that is enough.

    Args:
        model: `keras.Model` with a `call`.
        x: Inputs: array or nested structure of arrays.

    Raises:
        Exception: What the model raises for such inputs.
    """
    try:
        output_spec(model, _without_numbers(x), training=False)
    except Exception:
        # Code that looks at numbers can run all the same; else this says what is wrong.
        _call_on(model, x)


def inputs_without_numbers(batches: Any) -> Any:
    """Shapes and types of the inputs of a first batch, of any number of samples.

    Args:
        batches: `Batches`.

    Returns:
        Nested `keras.KerasTensor`, as `build_on` takes them.
    """
    inputs, _, _ = keras.utils.unpack_x_y_sample_weight(batches.first())
    return keras.tree.map_structure(
        lambda each: (
            None
            if each is None
            else keras.KerasTensor((None, *each.shape[1:]), _dtype_of(each))
        ),
        inputs,
    )


def reason_of(error: Exception) -> str:
    """What Keras, or the code of a model, says is wrong, in one line.

    Args:
        error: Exception.
    """
    says = f"it needs {error.args[0]!s}" if isinstance(error, KeyError) else str(error)
    text = re.sub(r"\x1b\[[0-9;]*m", "", says) or type(error).__name__
    text = re.sub(r"\s+", " ", text.partition("\n\nArguments received by")[0]).strip()
    if len(text) > MOST_OF_A_REASON:
        text = f"{text[:MOST_OF_A_REASON].rsplit(' ', 1)[0]} ..."
    return text if text.endswith(".") else f"{text}."


def _without_numbers(x: Any) -> Any:
    return keras.tree.map_structure(
        lambda each: None if each is None else _symbolic(each), x
    )


def _symbolic(array: Any) -> Any:
    return keras.KerasTensor(tuple(array.shape), _dtype_of(array))


def _dtype_of(array: Any) -> str:
    is_text = str(array.dtype) == "object"
    return "string" if is_text else keras.backend.standardize_dtype(array.dtype)


def _call_on(model: Any, x: Any) -> None:
    """Calls a model on inputs, and takes back what is drawn and counted by that."""
    known = [(each, keras.ops.convert_to_numpy(each)) for each in model.variables]
    random = RandomState()
    try:
        model(keras.tree.map_structure(keras.ops.convert_to_tensor, x), training=False)
    finally:
        random.restore()
        for variable, value in known:
            variable.assign(value)


def built_by(model: keras.Model, x: Any, owner: str) -> None:
    """Builds a model by calling it on data, unless it is built.

    Args:
        model: `keras.Model`.
        x: Inputs, a structure of arrays `(samples, ...)`.
        owner: Str. Name of the caller, for errors.

    Raises:
        ValueError: If the model cannot be called on them.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.engine._building.first_call import built_by
    >>> model = keras.Sequential([keras.layers.Dense(3)])
    >>> built_by(model, np.ones((2, 4)), "example")
    >>> model.built, tuple(model.weights[0].shape)
    (True, (4, 3))
    """
    if model.built:
        return
    if not has_call(model):
        raise ValueError(
            f"{owner}: `model` must have a method `call`. Received: "
            f"model={model.name!r} of type {type(model).__name__}, which has none. "
            "Give the network inside it that predicts."
        )
    try:
        build_on(model, x)
    except Exception as error:
        shapes = keras.tree.map_structure(lambda a: a if a is None else a.shape, x)
        raise ValueError(
            f"{owner}: `x` must be data that the model takes. Received: arrays of "
            f"shape {shapes}, for which the model, which is not built yet, raised "
            f"{type(error).__name__}: {reason_of(error)}"
        ) from error


def built_by_first(model: keras.Model, batches: Any, owner: str) -> None:
    """Builds a model by the first batch of data, unless it is built or there is none.

    Args:
        model: `keras.Model`.
        batches: `RowBatches` of inputs, which give that batch again.
        owner: Str. Name of the caller, for errors.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.engine._building.first_call import built_by_first
    >>> from keras_deeptools.engine._data.predict_rows import RowBatches
    >>> model = keras.Sequential([keras.layers.Dense(3)])
    >>> built_by_first(model, RowBatches(np.ones((2, 4)), 2), "example")
    >>> model.built
    True
    """
    first = None if model.built else batches.peek()
    if first is not None:
        built_by(model, first, owner)


def mark_built(model: keras.Model) -> None:
    """Marks a model as built whose layers all are.

    Keras builds a subclassed model by the sizes that a file tells, but leaves its mark
    out.

    Args:
        model: `keras.Model`.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._building.first_call import mark_built
    >>> model = keras.Sequential([keras.layers.Dense(3)])
    >>> mark_built(model)
    >>> model.built
    False
    """
    layers = list(flat_layers(model, include_self=False))
    if not model.built and model.weights and all(layer.built for layer in layers):
        model.built = True
