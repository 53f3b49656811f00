"""Exponential decay."""

import math
from types import ModuleType
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import checked_bool, checked_float
from keras_deeptools.schedules._schedule import (
    ConfiguredSchedule,
    as_float,
    checked_steps,
    count_updates,
    function_of,
)


@function_of("Exponential")
def exponential(
    step: Any,
    *,
    initial_learning_rate: float,
    decay_rate: float,
    decay_steps: int = 1,
    staircase: bool = False,
    xp: ModuleType = np,
) -> Any:
    """Return `initial_learning_rate * decay_rate ** (step / decay_steps)`.

    Args:
        {{step}}
        initial_learning_rate: Float > 0. The value at step 0.
        decay_rate: Float in (0, 1]. The factor of `decay_steps` updates.
        decay_steps: Int >= 1. Updates in which the value is multiplied by `decay_rate`.
        staircase: Bool. Whether to decay once every `decay_steps` updates.
    {{xp_and_returns}}

    Example:

    >>> from keras_deeptools.schedules import exponential
    >>> exponential(
    ...     [0, 20], initial_learning_rate=1.0, decay_rate=0.5, decay_steps=10
    ... ).tolist()
    [1.0, 0.25]
    """
    updates = count_updates(step, xp)
    if staircase:
        updates, decay_steps = updates // decay_steps, 1
    exponent = as_float(updates, xp) * (math.log2(decay_rate) / decay_steps)
    return initial_learning_rate * xp.exp2(exponent)


@keras.saving.register_keras_serializable(package="keras_deeptools")
class Exponential(ConfiguredSchedule):
    """Learning rate that shrinks by the same factor every so many updates.

    A simple default for long runs without a fixed end. With `staircase`, and with
    `decay_steps` set to the number of updates in an epoch, it is PyTorch's
    `ExponentialLR`.

    Args:
        initial_learning_rate: Float > 0. The value at step 0.
        decay_rate: Float in (0, 1]. The factor of `decay_steps` updates.
        decay_steps: Int >= 1. Updates in which the value is multiplied by `decay_rate`.
        staircase: Bool. False: decay a little at every update. True: decay once every
            `decay_steps` updates.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is outside its range.

    Example:

    >>> from keras_deeptools.schedules import Exponential
    >>> schedule = Exponential(1.0, decay_rate=0.25, decay_steps=10)
    >>> schedule.values([0, 5, 10, 20]).tolist()
    [1.0, 0.5, 0.25, 0.0625]
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_rate: float,
        decay_steps: int = 1,
        staircase: bool = False,
    ) -> None:
        owner = type(self).__name__
        self.initial_learning_rate = checked_float(
            owner, "initial_learning_rate", initial_learning_rate, above=0
        )
        self.decay_rate = checked_float(
            owner,
            "decay_rate",
            decay_rate,
            above=0,
            at_most=1,
            remedy="For a rate that grows use ExponentialRamp.",
        )
        self.decay_steps = checked_steps(owner, "decay_steps", decay_steps)
        self.staircase = checked_bool(owner, "staircase", staircase)

    def evaluate(self, step: Any, xp: ModuleType) -> Any:
        return exponential(step, **self.get_config(), xp=xp)
