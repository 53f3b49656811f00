"""What functions of the step read, and how the compiled step can compute them."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras

from keras_deeptools.engine._backends.active import tensors

SEED_DTYPE = "uint32"
"""The type of the variables of `keras.random.SeedGenerator`."""


class _Reads(keras.StatelessScope):
    """Notes the variables that are read inside."""

    def __init__(self) -> None:
        super().__init__()
        self.variables: list[Any] = []

    def get_current_value(self, variable: Any) -> Any:
        self.variables.append(variable)
        return super().get_current_value(variable)


def call_with_reads(function: Callable, step: int) -> tuple[Any, list[Any]]:
    """Calls a function of the step at once, also while a step is being traced.

    Args:
        function: Function of an int.
        step: Int.

    Returns:
        Tuple of what it returns, and the list of `keras.Variable` that it reads, those
        of random seeds left out.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._update.step_functions import call_with_reads
    >>> rate = keras.Variable(0.5, trainable=False, name="rate")
    >>> value, variables = call_with_reads(lambda step: rate * step, 4)
    >>> float(value), [variable.name for variable in variables]
    (2.0, ['rate'])
    """
    with tensors.eagerly():
        with _Reads() as reads:
            value = function(step)
            if isinstance(value, keras.Variable):
                value = value.value
        seeds = [v for v in reads.variables if v.dtype == SEED_DTYPE]
        variables = [v for v in reads.variables if v.dtype != SEED_DTYPE]
        if seeds and not variables:
            # Random numbers are drawn, by seeds that move on from call to call.
            value = function(step)
    return value, variables


def operations_of(function: Callable) -> Callable:
    """The operations of a function of the step, to be run if the step is a tensor.

    Ordinary arithmetic and `keras.ops` are recorded with Keras' rules for types, which
    are the same on all backends: TensorFlow itself adds no float to an integer.

    Args:
        function: Function of an int32 scalar.

    Returns:
        Function of an int tensor that returns a tensor, or a number.

    Raises:
        Exception: Whatever `function` raises where it needs a number.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._update.step_functions import operations_of
    >>> decay = operations_of(lambda step: 0.5 ** (step // 2))
    >>> float(decay(keras.ops.convert_to_tensor(5, dtype="int32")))
    0.25
    """
    step = keras.KerasTensor((), dtype="int32", name="step")
    with tensors.eagerly(), _single_precision():
        value = function(step)
        if not isinstance(value, keras.KerasTensor):
            return lambda step: value
        operations = keras.Function(step, value)

    def run(step: Any) -> Any:
        with _single_precision():
            return operations(step)

    return run


@contextlib.contextmanager
def _single_precision() -> Iterator[None]:
    """A context in which an int times a float is a float32, not the global type."""
    before = keras.config.floatx()
    keras.config.set_floatx("float32")
    try:
        yield
    finally:
        keras.config.set_floatx(before)


def check_traceable(function: Callable) -> None:
    """Raises what a function of the step raises when a compiled step traces it.

    Args:
        function: Function of an int32 scalar tensor.

    Example:

    >>> from keras_deeptools.engine._update.step_functions import check_traceable
    >>> check_traceable(lambda step: step * step)
    """
    tensors.trace(function)
