"""A constant phase followed by a half cosine."""

from types import ModuleType
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import checked_float
from keras_deeptools.schedules._anneal import Phase, checked_minimum, run_phases
from keras_deeptools.schedules._schedule import (
    ConfiguredSchedule,
    checked_steps,
    function_of,
)


@function_of("FlatCosine")
def flat_cosine(
    step: Any,
    *,
    max_learning_rate: float,
    total_steps: int,
    flat_fraction: float = 0.75,
    min_learning_rate: float = 0.0,
    xp: ModuleType = np,
) -> Any:
    """Return a constant value that falls along a half cosine at the end.

    Args:
        {{step}}
        max_learning_rate: Float > 0. The value of the flat part.
        total_steps: Int >= 1. Updates until the end of the decay.
        flat_fraction: Float in [0, 1]. Fraction of `total_steps` that is flat.
        min_learning_rate: Float in [0, max_learning_rate]. Value at `total_steps`.
    {{xp_and_returns}}

    Example:

    >>> from keras_deeptools.schedules import flat_cosine
    >>> flat_cosine(
    ...     [0, 50, 75, 100], max_learning_rate=1.0, total_steps=100, flat_fraction=0.5
    ... ).round(9).tolist()
    [1.0, 1.0, 0.5, 0.0]
    """
    peak = max_learning_rate
    phases = [
        Phase(flat_fraction * total_steps, peak, peak, "linear"),
        Phase(total_steps, peak, min_learning_rate, "cosine"),
    ]
    return run_phases(step, phases, xp)


@keras.saving.register_keras_serializable(package="keras_deeptools")
class FlatCosine(ConfiguredSchedule):
    """Learning rate that is flat for most of the run and then anneals along a cosine.

    It suits optimizers that warm up by themselves or adapt, such as RAdam or Ranger,
    and corresponds to fastai's `fit_flat_cos`.

    Args:
        max_learning_rate: Float > 0. The value of the flat part.
        total_steps: Int >= 1. Updates until the end of the decay: the last value is
            that of step `total_steps`, the first one after a run of that length.
        flat_fraction: Float in [0, 1]. Fraction of `total_steps` that is flat.
        min_learning_rate: Float in [0, max_learning_rate]. The last value.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is outside its range.

    Example:

    >>> from keras_deeptools.schedules import FlatCosine
    >>> schedule = FlatCosine(1.0, total_steps=100, flat_fraction=0.5)
    >>> schedule.values([0, 50, 75, 100]).round(9).tolist()
    [1.0, 1.0, 0.5, 0.0]

    Reference:
        Wright, 2019, "Ranger"; fastai, `Learner.fit_flat_cos`.
        https://docs.fast.ai/callback.schedule.html
    """

    def __init__(
        self,
        max_learning_rate: float,
        total_steps: int,
        flat_fraction: float = 0.75,
        min_learning_rate: float = 0.0,
    ) -> None:
        owner = type(self).__name__
        self.max_learning_rate = checked_float(
            owner, "max_learning_rate", max_learning_rate, above=0
        )
        self.total_steps = checked_steps(owner, "total_steps", total_steps)
        self.flat_fraction = checked_float(
            owner, "flat_fraction", flat_fraction, at_least=0, at_most=1
        )
        self.min_learning_rate = checked_minimum(
            owner, min_learning_rate, self.max_learning_rate
        )

    @property
    def last_step(self) -> int:
        """Int, `total_steps`."""
        return self.total_steps

    def evaluate(self, step: Any, xp: ModuleType) -> Any:
        return flat_cosine(step, **self.get_config(), xp=xp)
