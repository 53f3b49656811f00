"""Several schedules, one after the other."""

from collections.abc import Callable, Iterable, Sequence
from types import ModuleType
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import message
from keras_deeptools.schedules._constant import (
    checked_schedule,
    evaluate_part,
    last_step_of,
)
from keras_deeptools.schedules._schedule import (
    MAX_STEP,
    Schedule,
    checked_boundaries,
    count_updates,
    function_of,
)


@function_of("Concatenation")
def concatenation(
    step: Any,
    *,
    schedules: Sequence[Callable[[Any], Any]],
    boundaries: Sequence[int],
    xp: ModuleType = np,
) -> Any:
    """Return the value of the schedule that is active at `step`.

    Args:
        {{step}}
        schedules: Functions of the step, each counting from the step where it starts.
        boundaries: Increasing ints >= 1. The first step of every schedule but the
            first.
    {{xp_and_returns}}

    Example:

    >>> from keras_deeptools.schedules import concatenation
    >>> double = lambda n: 2.0 * n
    >>> concatenation([1, 2, 3], schedules=[double, double], boundaries=[2]).tolist()
    [2.0, 0.0, 2.0]
    """
    updates = count_updates(step, xp)
    value = schedules[0](updates)
    for schedule, start in zip(schedules[1:], boundaries, strict=True):
        local = xp.clip(updates - start, 0, MAX_STEP)
        value = xp.where(updates >= start, schedule(local), value)
    return value


@keras.saving.register_keras_serializable(package="keras_deeptools")
class Concatenation(Schedule):
    """Runs schedules one after the other, each counting from the step where it starts.

    Use it for phases of training that need different learning rates. It corresponds to
    PyTorch's `SequentialLR`.

    Args:
        schedules: List of `keras.optimizers.schedules.LearningRateSchedule` objects, or
            floats for constant learning rates.
        boundaries: Increasing ints >= 1, one fewer than `schedules`. The first step of
            every schedule but the first.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the lengths do not match or an argument is outside its range.

    Example:

    >>> from keras_deeptools.schedules import Concatenation, LinearRamp
    >>> schedule = Concatenation([LinearRamp(0.0, 1.0, 5), 0.5], boundaries=[5])
    >>> schedule.values([0, 2, 4, 5, 6]).tolist()
    [0.0, 0.5, 1.0, 0.5, 0.5]
    """

    def __init__(self, schedules: Sequence[Any], boundaries: Sequence[int]) -> None:
        owner = "Concatenation"
        if isinstance(schedules, str | bytes) or not isinstance(schedules, Iterable):
            raise TypeError(message(owner, "schedules", "a list", schedules))
        self.schedules = [
            checked_schedule(owner, "schedules", schedule) for schedule in schedules
        ]
        if not self.schedules:
            raise ValueError(message(owner, "schedules", "not empty", self.schedules))
        self.boundaries = checked_boundaries(owner, boundaries, len(self.schedules))

    @property
    def last_step(self) -> int | None:
        """Int, that of the last schedule plus its start; None if it has none."""
        last = last_step_of(self.schedules[-1])
        start = self.boundaries[-1] if self.boundaries else 0
        return None if last is None else start + last

    def evaluate(self, step: Any, xp: ModuleType) -> Any:
        def function_of(schedule: Any) -> Callable[[Any], Any]:
            return lambda local: evaluate_part(schedule, local, xp)

        return concatenation(
            step,
            schedules=[function_of(schedule) for schedule in self.schedules],
            boundaries=self.boundaries,
            xp=xp,
        )

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor, the schedules serialized."""
        serialize = keras.optimizers.schedules.serialize
        return {
            "schedules": [serialize(schedule) for schedule in self.schedules],
            "boundaries": list(self.boundaries),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Concatenation":
        """Build the schedule from the result of `get_config`."""
        deserialize = keras.optimizers.schedules.deserialize
        inner = [deserialize(schedule) for schedule in config["schedules"]]
        return cls(**{**config, "schedules": inner})
