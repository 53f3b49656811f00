"""Cosine annealing with warm restarts."""

from types import ModuleType
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import checked_float
from keras_deeptools.schedules._anneal import checked_minimum, rise
from keras_deeptools.schedules._schedule import (
    MAX_STEP,
    ConfiguredSchedule,
    as_float,
    as_integer,
    checked_steps,
    count_updates,
    function_of,
    num_reached,
)


@function_of("CosineRestarts")
def cosine_restarts(
    step: Any,
    *,
    max_learning_rate: float,
    period: int,
    period_multiplier: int = 1,
    min_learning_rate: float = 0.0,
    xp: ModuleType = np,
) -> Any:
    """Return a half cosine that starts again after every period.

    Args:
        {{step}}
        max_learning_rate: Float > 0. The value at every restart.
        period: Int >= 1. Updates until the first restart.
        period_multiplier: Int >= 1. Ratio of the length of each period to the previous
            one.
        min_learning_rate: Float in [0, max_learning_rate]. The value that the curve
            approaches.
    {{xp_and_returns}}

    Example:

    >>> from keras_deeptools.schedules import cosine_restarts
    >>> cosine_restarts([0, 2, 4], max_learning_rate=1.0, period=4).round(9).tolist()
    [1.0, 0.5, 1.0]
    """
    updates = count_updates(step, xp)
    if period_multiplier == 1:
        position = as_float(period - updates % period, xp) / period
    else:
        starts, lengths = [0], [period]
        while starts[-1] + lengths[-1] <= MAX_STEP:
            starts.append(starts[-1] + lengths[-1])
            lengths.append(lengths[-1] * period_multiplier)
        index = num_reached(updates, starts[1:], xp)
        elapsed = as_float(
            updates - xp.take(as_integer(np.array(starts), xp), index), xp
        )
        length = xp.take(as_float(np.array(lengths, dtype="float64"), xp), index)
        position = (length - elapsed) / length
    span = max_learning_rate - min_learning_rate
    return min_learning_rate + span * rise(position, "cosine", xp)


@keras.saving.register_keras_serializable(package="keras_deeptools")
class CosineRestarts(ConfiguredSchedule):
    """Cosine annealing with warm restarts (SGDR).

    The learning rate falls along a half cosine and jumps back up at the end of every
    period. The weights just before a restart are good ones to keep or to average. The
    values are equal to those of
    `torch.optim.lr_scheduler.CosineAnnealingWarmRestarts`.

    Args:
        max_learning_rate: Float > 0. The value at every restart.
        period: Int >= 1. Updates until the first restart.
        period_multiplier: Int >= 1. Ratio of the length of each period to the previous
            one.
        min_learning_rate: Float in [0, max_learning_rate]. The value that the curve
            approaches; it is not reached, because the restart takes its place.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is outside its range.

    Example:

    >>> from keras_deeptools.schedules import CosineRestarts
    >>> schedule = CosineRestarts(1.0, period=10, period_multiplier=2)
    >>> schedule.values([0, 5, 10, 20, 30]).round(9).tolist()
    [1.0, 0.5, 1.0, 0.5, 1.0]

    Reference:
        Loshchilov & Hutter, 2017, section 3. https://arxiv.org/abs/1608.03983
    """

    def __init__(
        self,
        max_learning_rate: float,
        period: int,
        period_multiplier: int = 1,
        min_learning_rate: float = 0.0,
    ) -> None:
        owner = type(self).__name__
        self.max_learning_rate = checked_float(
            owner, "max_learning_rate", max_learning_rate, above=0
        )
        self.period = checked_steps(owner, "period", period)
        self.period_multiplier = checked_steps(
            owner, "period_multiplier", period_multiplier
        )
        self.min_learning_rate = checked_minimum(
            owner, min_learning_rate, self.max_learning_rate
        )

    def evaluate(self, step: Any, xp: ModuleType) -> Any:
        return cosine_restarts(step, **self.get_config(), xp=xp)
