"""A constant schedule, and functions for parts of other schedules."""

from numbers import Real
from types import ModuleType
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_deeptools._arguments import checked_float, message
from keras_deeptools.schedules._schedule import (
    ConfiguredSchedule,
    Schedule,
    as_float,
    count_updates,
)


def constant(step: Any, *, value: float, xp: ModuleType = np) -> Any:
    """Return `value` for every step.

    Args:
        step: Integer scalar or array. Optimizer updates so far, from 0.
        value: Float. The value.
        xp: Array namespace: `numpy` (float64) or `keras.ops` (float32).

    Returns:
        Float array of the same shape as `step`.

    Example:

    >>> from keras_deeptools.schedules import constant
    >>> constant([0, 7], value=0.5).tolist()
    [0.5, 0.5]
    """
    return 0.0 * as_float(count_updates(step, xp), xp) + value


@keras.saving.register_keras_serializable(package="keras_deeptools")
class Constant(ConfiguredSchedule):
    """One value for every step, as a part of a `Concatenation` or under `Warmup`.

    Args:
        value: Finite float. The value.

    Raises:
        TypeError: If `value` is not a number.
        ValueError: If `value` is not finite.

    Example:

    >>> from keras_deeptools.schedules import Constant
    >>> Constant(0.5).values([0, 7]).tolist()
    [0.5, 0.5]
    """

    def __init__(self, value: float) -> None:
        self.value = checked_float("Constant", "value", value)

    @property
    def last_step(self) -> int:
        """Int, 0."""
        return 0

    def evaluate(self, step: Any, xp: ModuleType) -> Any:
        return constant(step, value=self.value, xp=xp)


def checked_schedule(owner: str, argument: str, schedule: Any) -> Any:
    """Return a schedule, made of a float if need be, or raise."""
    if isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        return schedule
    if not isinstance(schedule, Real):
        rule = "a LearningRateSchedule or a float"
        raise TypeError(message(owner, argument, rule, schedule))
    return Constant(checked_float(owner, argument, schedule))


def evaluate_part(schedule: Any, step: Any, xp: ModuleType) -> Any:
    """Evaluate a part in the namespace `xp`, one step at a time if it must be."""
    if isinstance(schedule, Schedule):
        return schedule.evaluate(step, xp)
    if xp is not np:
        return as_float(schedule(step), xp)
    steps = np.asarray(step)
    flat = [float(ops.convert_to_numpy(schedule(int(n)))) for n in steps.ravel()]
    return np.reshape(flat, steps.shape)


def last_step_of(schedule: Any) -> int | None:
    """Return the step from which a part holds its last value, if it is known."""
    return schedule.last_step if isinstance(schedule, Schedule) else None
