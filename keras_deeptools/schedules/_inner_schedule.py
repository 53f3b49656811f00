"""Schedules as parts of other schedules: ours, Keras' and users' own."""

from numbers import Real
from types import ModuleType
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_deeptools._arguments import checked_float, message
from keras_deeptools.schedules._constant import Constant
from keras_deeptools.schedules._schedule import Schedule
from keras_deeptools.schedules._steps import as_float


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
