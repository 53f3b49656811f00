"""Ramps from one value to another at equal ratios, as in a range test."""

import math
from types import ModuleType
from typing import Any

import keras
import numpy as np

from keras_deeptools.schedules._anneal import ramp_positions
from keras_deeptools.schedules._linear_ramp import Ramp
from keras_deeptools.schedules._schedule import function_of


@function_of("ExponentialRamp")
def exponential_ramp(
    step: Any,
    *,
    initial_value: float,
    final_value: float,
    num_steps: int,
    xp: ModuleType = np,
) -> Any:
    """Return values at equal ratios.

    Args:
        {{step}}
        initial_value: Float > 0. The value at step 0.
        final_value: Float > 0. The value at step `num_steps - 1` and later.
        num_steps: Int >= 2. How many different values there are.
    {{xp_and_returns}}

    Example:

    >>> from keras_deeptools.schedules import exponential_ramp
    >>> exponential_ramp(
    ...     [0, 1, 2], initial_value=1.0, final_value=4.0, num_steps=3
    ... ).tolist()
    [1.0, 2.0, 4.0]
    """
    elapsed, remaining = ramp_positions(step, num_steps - 1, xp)
    octaves = math.log2(final_value / initial_value)
    # Counted from the nearer end, so that the exponent, and its error, stay small.
    return xp.where(
        elapsed <= 0.5,
        initial_value * xp.exp2(octaves * elapsed),
        final_value * xp.exp2(-octaves * remaining),
    )


@keras.saving.register_keras_serializable(package="keras_deeptools")
class ExponentialRamp(Ramp):
    """Ramp at equal ratios from one value to another, both ends included.

    It covers several orders of magnitude evenly, as the range test needs.

    Args:
        initial_value: Float > 0. The value at step 0.
        final_value: Float > 0. The value at step `num_steps - 1` and later.
        num_steps: Int >= 2. How many different values there are.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is outside its range.

    Example:

    >>> from keras_deeptools.schedules import ExponentialRamp
    >>> ExponentialRamp(1.0, 4.0, num_steps=3).values([0, 1, 2, 3]).tolist()
    [1.0, 2.0, 4.0, 4.0]

    Reference:
        Smith, 2017, section 3.3 (with a linear ramp). https://arxiv.org/abs/1506.01186
    """

    _above = 0.0

    def evaluate(self, step: Any, xp: ModuleType) -> Any:
        return exponential_ramp(step, **self.get_config(), xp=xp)
