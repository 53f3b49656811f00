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
