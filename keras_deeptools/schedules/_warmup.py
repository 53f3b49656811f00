"""Schedules that change another one: a warmup before it, and a factor."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import checked_float, checked_option
from keras_deeptools.schedules._anneal import SHAPES, ramp_positions, rise
from keras_deeptools.schedules._constant import (
    checked_schedule,
    evaluate_part,
    last_step_of,
)
from keras_deeptools.schedules._schedule import (
    MAX_STEP,
    Schedule,
    checked_steps,
    count_updates,
    function_of,
)


@function_of("Warmup")
def warmup(
    step: Any,
    *,
    schedule: Callable[[Any], Any],
    num_steps: int,
    initial_factor: float = 0.0,
    shape: str = "linear",
    xp: ModuleType = np,
) -> Any:
    """Return the values of `schedule` after a rise to its first one.

    Args:
        {{step}}
        schedule: Function of the step that works in the namespace `xp`.
        num_steps: Int >= 1. Updates of the rise; `schedule` starts after them.
        initial_factor: Float in [0, 1]. Ratio of the first value to `schedule(0)`.
        shape: `"linear"` or `"cosine"`.
    {{xp_and_returns}}

    Example:

    >>> from keras_deeptools.schedules import constant, warmup
    >>> warmup(
    ...     [0, 2, 4, 9], schedule=lambda n: constant(n, value=8.0), num_steps=4
    ... ).tolist()
    [0.0, 4.0, 8.0, 8.0]
    """
    value = schedule(xp.clip(count_updates(step, xp) - num_steps, 0, MAX_STEP))
    elapsed, _ = ramp_positions(step, num_steps, xp)
    factor = initial_factor + (1.0 - initial_factor) * rise(elapsed, shape, xp)
    return value * factor


@keras.saving.register_keras_serializable(package="keras_deeptools")
class Warmup(Schedule):
    """Warmup that rises to the first value of another schedule, which runs afterwards.

    Adam and related optimizers, large batches and transformers often need small first
    steps. The other schedule starts at step `num_steps`, so the whole takes that much
    longer.

    Args:
        schedule: A `keras.optimizers.schedules.LearningRateSchedule`, or a float for a
            constant learning rate.
        num_steps: Int >= 1. Updates of the rise.
        initial_factor: Float in [0, 1]. Ratio of the value at step 0 to the first value
            of `schedule`; with 0 the first update changes nothing.
        shape: `"linear"` or `"cosine"`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is outside its range.

    Example:

    >>> from keras_deeptools.schedules import Exponential, Warmup
    >>> schedule = Warmup(Exponential(1.0, decay_rate=0.5), num_steps=4)
    >>> schedule.values([0, 1, 2, 3, 4, 5, 6]).tolist()
    [0.0, 0.25, 0.5, 0.75, 1.0, 0.5, 0.25]

    Reference:
        Goyal et al., 2017, section 2.2. https://arxiv.org/abs/1706.02677
    """

    def __init__(
        self,
        schedule: Any,
        num_steps: int,
        initial_factor: float = 0.0,
        shape: str = "linear",
    ) -> None:
        self.schedule = checked_schedule("Warmup", "schedule", schedule)
        self.num_steps = checked_steps("Warmup", "num_steps", num_steps)
        self.initial_factor = checked_float(
            "Warmup", "initial_factor", initial_factor, at_least=0, at_most=1
        )
        self.shape = checked_option("Warmup", "shape", shape, SHAPES)

    @property
    def last_step(self) -> int | None:
        """Int, that of the schedule plus `num_steps`; None if it has none."""
        last = last_step_of(self.schedule)
        return None if last is None else self.num_steps + last

    def evaluate(self, step: Any, xp: ModuleType) -> Any:
        return warmup(
            step,
            schedule=lambda local: evaluate_part(self.schedule, local, xp),
            num_steps=self.num_steps,
            initial_factor=self.initial_factor,
            shape=self.shape,
            xp=xp,
        )

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor, the schedule serialized."""
        return {
            "schedule": keras.optimizers.schedules.serialize(self.schedule),
            "num_steps": self.num_steps,
            "initial_factor": self.initial_factor,
            "shape": self.shape,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Warmup":
        """Build the schedule from the result of `get_config`."""
        inner = keras.optimizers.schedules.deserialize(config["schedule"])
        return cls(**{**config, "schedule": inner})


@function_of("Scaled")
def scaled(
    step: Any, *, schedule: Callable[[Any], Any], factor: float, xp: ModuleType = np
) -> Any:
    """Return the values of `schedule`, each multiplied by `factor`.

    Args:
        {{step}}
        schedule: Function of the step that works in the namespace `xp`.
        factor: Float. The factor that each value is multiplied by.
    {{xp_and_returns}}

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

    Use it if a learning rate is too high or too low as a whole but changes in the way
    that you want, or if the batch size differs from the one that a schedule was made
    for.

    Args:
        schedule: A `keras.optimizers.schedules.LearningRateSchedule`, or a float for a
            constant learning rate.
        factor: Finite float. The factor that each value is multiplied by.

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
