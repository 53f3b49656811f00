"""Triangular cyclical learning rates."""

from types import ModuleType
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import checked_float, checked_option
from keras_deeptools.schedules._schedule import (
    ConfiguredSchedule,
    as_float,
    checked_steps,
    count_updates,
    function_of,
)

MODES = ("triangular", "triangular2")
MAX_HALVINGS = 64


@function_of("Triangular")
def triangular(
    step: Any,
    *,
    min_learning_rate: float,
    max_learning_rate: float,
    num_up_steps: int,
    num_down_steps: int | None = None,
    mode: str = "triangular",
    xp: ModuleType = np,
) -> Any:
    """Return a learning rate that rises and falls between two values again and again.

    Args:
        {{step}}
        min_learning_rate: Float >= 0. The value at the start of every cycle.
        max_learning_rate: Float > min_learning_rate. The peak of the first cycle.
        num_up_steps: Int >= 1. Updates from the lower value to the peak.
        num_down_steps: Int >= 1. Updates from the peak back. Default: `num_up_steps`.
        mode: `"triangular"` or `"triangular2"`, which halves the height every cycle.
    {{xp_and_returns}}

    Example:

    >>> from keras_deeptools.schedules import triangular
    >>> triangular(
    ...     [0, 5, 10, 15],
    ...     min_learning_rate=0.0,
    ...     max_learning_rate=1.0,
    ...     num_up_steps=10,
    ... ).tolist()
    [0.0, 0.5, 1.0, 0.5]
    """
    num_down_steps = num_down_steps or num_up_steps
    period = num_up_steps + num_down_steps
    updates = count_updates(step, xp)
    elapsed = updates % period
    height = xp.minimum(
        as_float(elapsed, xp) / num_up_steps,
        as_float(period - elapsed, xp) / num_down_steps,
    )
    if mode == "triangular2":
        # Below 2^-64 of the height there is nothing left to halve.
        halvings = xp.minimum(updates // period, MAX_HALVINGS)
        height = height * xp.exp2(-as_float(halvings, xp))
    return min_learning_rate + (max_learning_rate - min_learning_rate) * height


@keras.saving.register_keras_serializable(package="keras_deeptools")
class Triangular(ConfiguredSchedule):
    """Cyclical learning rate that rises and falls in straight lines, again and again.

    It explores with large learning rates and settles with small ones, without a fixed
    end. The values are equal to those of `torch.optim.lr_scheduler.CyclicLR`.

    Args:
        min_learning_rate: Float >= 0. The value at the start of every cycle.
        max_learning_rate: Float > min_learning_rate. The peak of the first cycle.
        num_up_steps: Int >= 1. Updates from the lower value to the peak ("stepsize");
            the paper advises 2 to 10 epochs.
        num_down_steps: Int >= 1. Updates from the peak back. Default: `num_up_steps`.
        mode: `"triangular"` keeps the height, `"triangular2"` halves it every cycle.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is outside its range.

    Example:

    >>> from keras_deeptools.schedules import Triangular
    >>> schedule = Triangular(0.0, 1.0, num_up_steps=10, mode="triangular2")
    >>> schedule.values([0, 5, 10, 15, 30]).tolist()
    [0.0, 0.5, 1.0, 0.5, 0.5]

    Reference:
        Smith, 2017, section 3. https://arxiv.org/abs/1506.01186
    """

    def __init__(
        self,
        min_learning_rate: float,
        max_learning_rate: float,
        num_up_steps: int,
        num_down_steps: int | None = None,
        mode: str = "triangular",
    ) -> None:
        owner = type(self).__name__
        self.min_learning_rate = checked_float(
            owner, "min_learning_rate", min_learning_rate, at_least=0
        )
        self.max_learning_rate = checked_float(
            owner, "max_learning_rate", max_learning_rate, above=self.min_learning_rate
        )
        self.num_up_steps = checked_steps(owner, "num_up_steps", num_up_steps)
        if num_down_steps is not None:
            num_down_steps = checked_steps(owner, "num_down_steps", num_down_steps)
        self.num_down_steps = num_down_steps
        self.mode = checked_option(owner, "mode", mode, MODES)

    def evaluate(self, step: Any, xp: ModuleType) -> Any:
        return triangular(step, **self.get_config(), xp=xp)
