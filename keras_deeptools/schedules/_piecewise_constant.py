"""Piecewise constant values."""

from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import checked_float, message
from keras_deeptools.schedules._schedule import (
    Schedule,
    as_float,
    checked_boundaries,
    count_updates,
    function_of,
    num_reached,
)


@function_of("PiecewiseConstant")
def piecewise_constant(
    step: Any,
    *,
    boundaries: Sequence[int],
    values: Sequence[float],
    xp: ModuleType = np,
) -> Any:
    """Return the value of the piece that contains `step`.

    Args:
        {{step}}
        boundaries: Increasing ints >= 1. The first step of every piece but the first.
        values: Floats, one more than `boundaries`.
    {{xp_and_returns}}

    Example:

    >>> from keras_deeptools.schedules import piecewise_constant
    >>> piecewise_constant([9, 10], boundaries=[10], values=[0.1, 0.01]).tolist()
    [0.1, 0.01]
    """
    index = num_reached(count_updates(step, xp), boundaries, xp)
    return xp.take(as_float(np.array(values), xp), index)


@keras.saving.register_keras_serializable(package="keras_deeptools")
class PiecewiseConstant(Schedule):
    """A list of values, each held until the next boundary.

    A boundary is the first step with the next value, as in PyTorch's `MultiStepLR`;
    in Keras' `PiecewiseConstantDecay` it is the last step with the previous one.

    Args:
        boundaries: Increasing ints >= 1. The first step of every piece but the first.
        values: Finite floats, one more than `boundaries`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the lengths do not match or an argument is outside its range.

    Example:

    >>> from keras_deeptools.schedules import PiecewiseConstant
    >>> schedule = PiecewiseConstant(boundaries=[100, 200], values=[0.1, 0.01, 0.001])
    >>> schedule.values([0, 99, 100, 500]).tolist()
    [0.1, 0.1, 0.01, 0.001]
    """

    def __init__(self, boundaries: Sequence[int], values: Sequence[float]) -> None:
        owner = "PiecewiseConstant"
        if isinstance(values, str | bytes) or not isinstance(values, Iterable):
            raise TypeError(message(owner, "values", "a list of floats", values))
        self._values = [checked_float(owner, "values", value) for value in values]
        if not self._values:
            raise ValueError(message(owner, "values", "not empty", self._values))
        self.boundaries = checked_boundaries(owner, boundaries, len(self._values))

    @property
    def last_step(self) -> int:
        """Int, the last boundary."""
        return self.boundaries[-1] if self.boundaries else 0

    def evaluate(self, step: Any, xp: ModuleType) -> Any:
        return piecewise_constant(step, **self.get_config(), xp=xp)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {"boundaries": list(self.boundaries), "values": list(self._values)}
