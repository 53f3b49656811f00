"""The values of a model and its optimizer as arrays, and back."""

from collections.abc import Collection
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._optimizer_state import (
    optimizer_state,
    set_optimizer_state,
)
from keras_deeptools.transfer._layer_constants import refresh_constants

Arrays = dict[str, np.ndarray]


def model_arrays(model: keras.Model, left_out: Collection[int] = ()) -> Arrays:
    """Copies of a model's variables by position, states of random generators included.

    Args:
        model: `keras.Model`.
        left_out: Identities of variables that need no copy.
    """
    return {
        f"model/{position}": _copied(variable)
        for position, variable in enumerate(model.variables)
        if id(variable) not in left_out
    }


def optimizer_arrays(model: keras.Model) -> tuple[Arrays, list[list[int]]]:
    """Copies of the optimizer's variables, and when it began to train each weight."""
    values, births = optimizer_state(model.optimizer)
    return {f"optimizer/{i}": _plain(value) for i, value in enumerate(values)}, births


def assign_model(model: keras.Model, arrays: Arrays) -> None:
    """Sets the variables that there are arrays for."""
    for position, variable in enumerate(model.variables):
        value = arrays.get(f"model/{position}")
        if value is not None:
            variable.assign(value)
    refresh_constants(model)


def assign_optimizer(
    model: keras.Model, arrays: Arrays, births: list[list[int]]
) -> None:
    """Sets all that the optimizer knows; it must be built."""
    count = sum(name.startswith("optimizer/") for name in arrays)
    values = [arrays[f"optimizer/{i}"] for i in range(count)]
    set_optimizer_state(model.optimizer, values, births)


def _copied(variable: Any) -> np.ndarray:
    return _plain(keras.ops.convert_to_numpy(variable.value))


def _plain(value: Any) -> np.ndarray:
    """A copy of a type that files can hold; short floats exactly as float32."""
    array = np.array(value)
    return array if array.dtype.kind in "biuf" else array.astype("float32")
