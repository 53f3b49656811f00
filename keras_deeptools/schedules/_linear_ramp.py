"""Ramps from one value to another at equal differences."""

from types import ModuleType
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import checked_float
from keras_deeptools.schedules._anneal import ramp_positions
from keras_deeptools.schedules._schedule import (
    ConfiguredSchedule,
    checked_steps,
    function_of,
)


@function_of("LinearRamp")
def linear_ramp(
    step: Any,
    *,
    initial_value: float,
    final_value: float,
    num_steps: int,
    xp: ModuleType = np,
) -> Any:
    """Return values at equal differences.

    Args:
        {{step}}
        initial_value: Float. The value at step 0.
        final_value: Float. The value at step `num_steps - 1` and later.
        num_steps: Int >= 2. How many different values there are.
    {{xp_and_returns}}

    Example:

    >>> from keras_deeptools.schedules import linear_ramp
    >>> linear_ramp([0, 1, 2], initial_value=1.0, final_value=3.0, num_steps=3).tolist()
    [1.0, 2.0, 3.0]
    """
    elapsed, remaining = ramp_positions(step, num_steps - 1, xp)
    return initial_value * remaining + final_value * elapsed


class Ramp(ConfiguredSchedule):
    """The arguments that both ramps share."""

    quantity = "value"
    _above: float | None = None

    def __init__(
        self, initial_value: float, final_value: float, num_steps: int
    ) -> None:
        owner = type(self).__name__
        self.initial_value = checked_float(
            owner, "initial_value", initial_value, above=self._above
        )
        self.final_value = checked_float(
            owner, "final_value", final_value, above=self._above
        )
        self.num_steps = checked_steps(
            owner,
            "num_steps",
            num_steps,
            minimum=2,
            remedy="Both ends count as steps.",
        )

    @property
    def last_step(self) -> int:
        """Int, `num_steps - 1`."""
        return self.num_steps - 1


@keras.saving.register_keras_serializable(package="keras_deeptools")
class LinearRamp(Ramp):
    """Straight line from one value to another, both ends included.

    Args:
        initial_value: Finite float. The value at step 0.
        final_value: Finite float. The value at step `num_steps - 1` and later.
        num_steps: Int >= 2. How many different values there are.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is outside its range.

    Example:

    >>> from keras_deeptools.schedules import LinearRamp
    >>> LinearRamp(1.0, 3.0, num_steps=3).values([0, 1, 2, 3]).tolist()
    [1.0, 2.0, 3.0, 3.0]
    """

    def evaluate(self, step: Any, xp: ModuleType) -> Any:
        return linear_ramp(step, **self.get_config(), xp=xp)
