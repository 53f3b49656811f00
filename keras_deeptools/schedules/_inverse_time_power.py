"""Inverse-time power decay."""

from types import ModuleType
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import checked_float
from keras_deeptools.schedules._schedule import (
    ConfiguredSchedule,
    as_float,
    checked_steps,
    count_updates,
    function_of,
)


@function_of("InverseTimePower")
def inverse_time_power(
    step: Any,
    *,
    initial_learning_rate: float,
    decay_steps: int,
    power: float = 1.0,
    xp: ModuleType = np,
) -> Any:
    """Return `initial_learning_rate / (1 + step / decay_steps) ** power`.

    Args:
        {{step}}
        initial_learning_rate: Float > 0. The value at step 0.
        decay_steps: Int >= 1. Updates after which the base of the power is 2.
        power: Float > 0. The exponent.
    {{xp_and_returns}}

    Example:

    >>> from keras_deeptools.schedules import inverse_time_power
    >>> float(inverse_time_power(30, initial_learning_rate=1.0, decay_steps=10))
    0.25
    """
    time = as_float(count_updates(step, xp), xp) / decay_steps
    return initial_learning_rate * xp.power(1.0 + time, -power)


@keras.saving.register_keras_serializable(package="keras_deeptools")
class InverseTimePower(ConfiguredSchedule):
    """Learning rate that falls fast at first and then more and more slowly.

    With power 1 the learning rate falls to 1/2 of its first value after `decay_steps`
    updates, to 1/3 after twice as many, and to 1/4 after three times as many. Geron
    calls this "power scheduling".

    Args:
        initial_learning_rate: Float > 0. The value at step 0.
        decay_steps: Int >= 1. Updates after which the base of the power is 2.
        power: Float > 0. The exponent; 0.5 gives an inverse square root.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is outside its range.

    Example:

    >>> from keras_deeptools.schedules import InverseTimePower
    >>> schedule = InverseTimePower(1.0, decay_steps=10)
    >>> schedule.values([0, 10, 30]).tolist()
    [1.0, 0.5, 0.25]

    Reference:
        Geron, 2022, Hands-On Machine Learning with Scikit-Learn, Keras, and TensorFlow,
        3rd edition, chapter 11.
    """

    def __init__(
        self, initial_learning_rate: float, decay_steps: int, power: float = 1.0
    ) -> None:
        owner = type(self).__name__
        self.initial_learning_rate = checked_float(
            owner, "initial_learning_rate", initial_learning_rate, above=0
        )
        self.decay_steps = checked_steps(owner, "decay_steps", decay_steps)
        self.power = checked_float(owner, "power", power, above=0)

    def evaluate(self, step: Any, xp: ModuleType) -> Any:
        return inverse_time_power(step, **self.get_config(), xp=xp)
