"""The values of a model and its optimizer as arrays, and back."""

from collections.abc import Collection
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._births import birth_note

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


def optimizer_arrays(model: keras.Model) -> Arrays:
    """Copies of the optimizer's variables, as they are without what is attached."""
    store: dict[str, Any] = {}
    model.optimizer.save_own_variables(store)
    return {f"optimizer/{name}": _plain(value) for name, value in store.items()}


def assign_model(model: keras.Model, arrays: Arrays) -> None:
    """Sets the variables that there are arrays for."""
    for position, variable in enumerate(model.variables):
        value = arrays.get(f"model/{position}")
        if value is not None:
            variable.assign(value)


def births_in(model: keras.Model) -> Any:
    """When the optimizer began to train each variable, ready for JSON."""
    return birth_note(model.optimizer).write()


def assign_optimizer(model: keras.Model, arrays: Arrays, births: Any) -> None:
    """Sets all variables of the optimizer, which must be built, and what they count."""
    store = {
        name.removeprefix("optimizer/"): value
        for name, value in arrays.items()
        if name.startswith("optimizer/")
    }
    model.optimizer.load_own_variables(store)
    birth_note(model.optimizer).after(births)


def _copied(variable: Any) -> np.ndarray:
    return _plain(keras.ops.convert_to_numpy(variable.value))


def _plain(value: Any) -> np.ndarray:
    """A copy of a type that files can hold; short floats exactly as float32."""
    array = np.array(value)
    return array if array.dtype.kind in "biuf" else array.astype("float32")
