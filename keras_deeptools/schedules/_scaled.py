"""Another schedule times a factor."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import checked_float
from keras_deeptools.schedules._constant import (
    checked_schedule,
    evaluate_part,
    last_step_of,
)
from keras_deeptools.schedules._schedule import Schedule, count_updates


def scaled(
    step: Any, *, schedule: Callable[[Any], Any], factor: float, xp: ModuleType = np
) -> Any:
    """Return the values of `schedule`, each times `factor`.

    The pure function behind `Scaled`, which checks the arguments.

    Args:
        step: Integer scalar or array. Optimizer updates so far, from 0.
        schedule: Function of the step that works in the namespace `xp`.
        factor: Float. What each value is multiplied by.
        xp: Array namespace: `numpy` (float64) or `keras.ops` (float32).

    Returns:
        Float array of the same shape as `step`.

    Example:

    >>> from keras_deeptools.schedules import exponential, scaled
    >>> scaled(
    ...     [0, 1, 2],
    ...     schedule=lambda n: exponential(
    ...         n, initial_learning_rate=1.0, decay_rate=0.5
    ...     ),
    ...     factor=4.0,
    ... ).tolist()
    [4.0, 2.0, 1.0]
    """
    return schedule(count_updates(step, xp)) * factor


@keras.saving.register_keras_serializable(package="keras_deeptools")
class Scaled(Schedule):
    """Another schedule, with all of its values multiplied by one factor.

    For a learning rate that is too high or too low as a whole while its course is what
    you want, or for a batch size that differs from the one a schedule was made for.

    Args:
        schedule: A `keras.optimizers.schedules.LearningRateSchedule`, or a float for a
            constant learning rate.
        factor: Finite float. What each value is multiplied by.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If `factor` is not finite.

    Example:

    >>> from keras_deeptools.schedules import Exponential, Scaled
    >>> Scaled(Exponential(1.0, decay_rate=0.5), 0.25).values([0, 1, 2]).tolist()
    [0.25, 0.125, 0.0625]
    """

    def __init__(self, schedule: Any, factor: float) -> None:
        self.schedule = checked_schedule("Scaled", "schedule", schedule)
        self.factor = checked_float("Scaled", "factor", factor)

    @property
    def last_step(self) -> int | None:
        """Int, that of the schedule; None if it has none."""
        return last_step_of(self.schedule)

    def evaluate(self, step: Any, xp: ModuleType) -> Any:
        return scaled(
            step,
            schedule=lambda local: evaluate_part(self.schedule, local, xp),
            factor=self.factor,
            xp=xp,
        )

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor, the schedule serialized."""
        return {
            "schedule": keras.optimizers.schedules.serialize(self.schedule),
            "factor": self.factor,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Scaled":
        """Build the schedule from the result of `get_config`."""
        inner = keras.optimizers.schedules.deserialize(config["schedule"])
        return cls(**{**config, "schedule": inner})
