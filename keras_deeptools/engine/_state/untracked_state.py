"""State of a model that Keras does not count among its variables."""

import types
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._backends.active import tensors
from keras_deeptools.engine._backends.common import FOREIGN, on_host
from keras_deeptools.engine._keras_private.layers import flat_layers, value_of

NUMBERS = (int, float, complex, np.number)
DEPTH = 6


class UntrackedState:
    """A copy of what layers hold in attributes; `restore` puts it back.

    Keras forgets some variables (on TensorFlow the states of stateful recurrent
    layers), users hold others in containers and objects of their own, and eager steps
    count in plain numbers and arrays. All are found by looking at the attributes of
    each layer.

    Args:
        model: `keras.Model`.
        known: Identities of variables that are kept elsewhere.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._state.untracked_state import UntrackedState
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.calls = 3
    >>> state = UntrackedState(model, known=set())
    >>> model.calls += 1
    >>> state.restore()
    >>> model.calls
    3
    """

    def __init__(self, model: keras.Model, known: set[int]) -> None:
        self._restorers: list[Callable[[], None]] = []
        self._seen = set(known)
        for layer in flat_layers(model):
            self._note_attributes(layer, DEPTH)

    def restore(self) -> None:
        """Puts everything back."""
        for restore in self._restorers:
            restore()

    def _note_attributes(self, owner: Any, depth: int) -> None:
        self._seen.add(id(owner))
        held = vars(owner)
        for name, value in list(held.items()):
            if isinstance(value, NUMBERS) and not isinstance(value, bool):
                self._restorers.append(_attribute(held, name, value))
            elif isinstance(value, np.ndarray) or _is_plain_tensor(value):
                self._restorers.append(_attribute(held, name, value))
                self._note(value, depth)
            else:
                self._note(value, depth)

    def _note(self, value: Any, depth: int) -> None:
        if depth < 0 or value is None or id(value) in self._seen:
            return
        if isinstance(value, (str, bytes, type, types.ModuleType, keras.Layer)):
            return
        if isinstance(value, keras.optimizers.Optimizer):
            return
        self._seen.add(id(value))
        if isinstance(value, np.ndarray):
            self._restorers.append(_contents(value, value.copy()))
        elif _is_variable(value):
            self._restorers.append(_assigned(value))
        elif tensors.is_mutable(value):
            self._restorers.append(_tensor_contents(value))
        elif isinstance(value, (list, tuple, dict, set, frozenset)):
            for each in _elements(value):
                self._note(each, depth - 1)
        elif isinstance(value, (keras.metrics.Metric, keras.random.SeedGenerator)):
            state = getattr(value, "state", None)
            for variable in [state] if state is not None else value.variables:
                self._note(variable, depth)
        elif hasattr(value, "__dict__") and not callable(value):
            package = type(value).__module__.partition(".")[0]
            if package not in FOREIGN:
                self._note_attributes(value, depth - 1)


def _elements(container: Any) -> Iterator[Any]:
    values = container.values() if isinstance(container, dict) else container
    return iter(list(values))


def _is_variable(value: Any) -> bool:
    if isinstance(value, keras.Variable):
        return value_of(value) is not None
    return hasattr(value, "assign") and hasattr(value, "read_value")


def _is_plain_tensor(value: Any) -> bool:
    """Whether it is a tensor of the backend with a value, not one in a trace."""
    if isinstance(value, keras.Variable) or not keras.ops.is_tensor(value):
        return False
    return not hasattr(value, "assign")


def _attribute(held: dict[str, Any], name: str, value: Any) -> Callable[[], None]:
    def restore() -> None:
        if held.get(name) is not value:
            held[name] = value

    return restore


def _contents(array: np.ndarray, value: np.ndarray) -> Callable[[], None]:
    def restore() -> None:
        if array.flags.writeable:
            np.copyto(array, value)

    return restore


def _tensor_contents(tensor: Any) -> Callable[[], None]:
    value = tensor.detach().clone()

    def restore() -> None:
        tensor.data.copy_(value)

    return restore


def _assigned(variable: Any) -> Callable[[], None]:
    value = on_host(variable)
    return lambda: variable.assign(value)
