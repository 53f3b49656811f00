"""The 1cycle policy for the learning rate and, mirrored, for the momentum."""

from types import ModuleType
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import checked_float, message
from keras_deeptools.schedules._anneal import Cycle, run_cycle
from keras_deeptools.schedules._schedule import function_of


@function_of("OneCycle")
def one_cycle(
    step: Any,
    *,
    max_learning_rate: float,
    total_steps: int,
    warmup_fraction: float = 0.3,
    initial_divisor: float = 25.0,
    final_divisor: float = 1e4,
    shape: str = "cosine",
    three_phase: bool = False,
    xp: ModuleType = np,
) -> Any:
    """Return the learning rate of the 1cycle policy at `step`.

    Args:
        {{step}}
        max_learning_rate: Float > 0. The peak.
        total_steps: Int >= 1. Updates in the cycle.
        warmup_fraction: Float in [0, 1]. Fraction of the cycle that rises.
        initial_divisor: Float >= 1. Ratio of the peak to the first learning rate.
        final_divisor: Float > 0. Ratio of the first learning rate to the last one.
        shape: `"cosine"` or `"linear"`.
        three_phase: Bool. Whether to fall as slowly as the learning rate rose, and then
            to the end.
    {{xp_and_returns}}

    Example:

    >>> from keras_deeptools.schedules import one_cycle
    >>> float(one_cycle(29, max_learning_rate=0.5, total_steps=100))
    0.5
    """
    initial = max_learning_rate / initial_divisor
    middle = initial if three_phase else None
    values = (initial, max_learning_rate, middle, initial / final_divisor)
    return run_cycle(step, values, total_steps, warmup_fraction, shape, xp)


@keras.saving.register_keras_serializable(package="keras_deeptools")
class OneCycle(Cycle):
    """Learning rate of the 1cycle policy: up to a peak, then down to almost zero.

    Large learning rates in the middle of training regularize it and speed it up; the
    long decay at the end lets it settle. The values are equal to those of
    `torch.optim.lr_scheduler.OneCycleLR` at every step. This schedule sets only the
    learning rate: `OneCycleMomentum` is the other half of the policy.

    Args:
        max_learning_rate: Float > 0. The peak.
        total_steps: Int >= 1. Updates in the cycle; its last value is held afterwards.
        warmup_fraction: Float in [0, 1]. Fraction of the cycle that rises; at most 0.5
            with `three_phase`.
        initial_divisor: Float >= 1. The cycle starts at
            `max_learning_rate / initial_divisor`.
        final_divisor: Float > 0. The cycle ends at its first value divided by this.
        shape: `"cosine"` or `"linear"`.
        three_phase: Bool. False: rise, then fall to the last value. True: rise, fall as
            slowly to the first value, then fall to the last one, as in the paper.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is outside its range.

    Example:

    >>> import keras
    >>> from keras_deeptools.schedules import OneCycle
    >>> schedule = OneCycle(max_learning_rate=0.5, total_steps=100)
    >>> optimizer = keras.optimizers.SGD(learning_rate=schedule)
    >>> schedule.values([0, 29, 99]).round(8).tolist()
    [0.02, 0.5, 2e-06]

    Reference:
        Smith, 2018, section 4.1. https://arxiv.org/abs/1803.09820. The defaults
        (cosine, two phases) are those of fastai and PyTorch.
    """

    def __init__(
        self,
        max_learning_rate: float,
        total_steps: int,
        warmup_fraction: float = 0.3,
        initial_divisor: float = 25.0,
        final_divisor: float = 1e4,
        shape: str = "cosine",
        three_phase: bool = False,
    ) -> None:
        super().__init__(total_steps, warmup_fraction, shape, three_phase)
        owner = type(self).__name__
        self.max_learning_rate = checked_float(
            owner, "max_learning_rate", max_learning_rate, above=0
        )
        self.initial_divisor = checked_float(
            owner, "initial_divisor", initial_divisor, at_least=1
        )
        self.final_divisor = checked_float(
            owner, "final_divisor", final_divisor, above=0
        )

    def evaluate(self, step: Any, xp: ModuleType) -> Any:
        return one_cycle(step, **self.get_config(), xp=xp)


@function_of("OneCycleMomentum")
def one_cycle_momentum(
    step: Any,
    *,
    total_steps: int,
    momentum_range: tuple[float, float] | list[float] = (0.85, 0.95),
    warmup_fraction: float = 0.3,
    shape: str = "cosine",
    three_phase: bool = False,
    xp: ModuleType = np,
) -> Any:
    """Return the momentum of the 1cycle policy at `step`.

    Args:
        {{step}}
        total_steps: Int >= 1. Updates in the cycle.
        momentum_range: Two floats in [0, 1). Momentum at the peak of the learning rate,
            and at both ends.
        warmup_fraction: Float in [0, 1]. Fraction of the cycle in which momentum falls.
        shape: `"cosine"` or `"linear"`.
        three_phase: Bool. As in `one_cycle`.
    {{xp_and_returns}}

    Example:

    >>> from keras_deeptools.schedules import one_cycle_momentum
    >>> float(one_cycle_momentum(29, total_steps=100))
    0.85
    """
    low, high = momentum_range
    values = (high, low, high if three_phase else None, high)
    return run_cycle(step, values, total_steps, warmup_fraction, shape, xp)


@keras.saving.register_keras_serializable(package="keras_deeptools")
class OneCycleMomentum(Cycle):
    """Momentum of the 1cycle policy: low while the learning rate is high.

    Use it for SGD's `momentum` or Adam's `beta_1`. Keras optimizers take these as fixed
    numbers, so a callback has to apply the schedule. The values are equal to those that
    `torch.optim.lr_scheduler.OneCycleLR` sets at every step.

    Args:
        total_steps: Int >= 1. Updates in the cycle; its last value is held afterwards.
        momentum_range: Two floats in [0, 1), increasing. The value at the peak of the
            learning rate, and the value at both ends.
        warmup_fraction: Float in [0, 1]. Fraction of the cycle in which momentum falls.
        shape: `"cosine"` or `"linear"`.
        three_phase: Bool. As in `OneCycle`; the third phase holds the larger value.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is outside its range.

    Example:

    >>> from keras_deeptools.schedules import OneCycleMomentum
    >>> schedule = OneCycleMomentum(total_steps=100, momentum_range=(0.85, 0.95))
    >>> schedule.values([0, 29, 99]).round(8).tolist()
    [0.95, 0.85, 0.95]

    Reference:
        Smith, 2018, section 4.3. https://arxiv.org/abs/1803.09820
    """

    quantity = "momentum"

    def __init__(
        self,
        total_steps: int,
        momentum_range: tuple[float, float] | list[float] = (0.85, 0.95),
        warmup_fraction: float = 0.3,
        shape: str = "cosine",
        three_phase: bool = False,
    ) -> None:
        super().__init__(total_steps, warmup_fraction, shape, three_phase)
        owner = type(self).__name__
        rule = "two floats (low, high) with 0 <= low <= high < 1"
        if not isinstance(momentum_range, tuple | list):
            raise TypeError(message(owner, "momentum_range", rule, momentum_range))
        bounds = [
            checked_float(owner, "momentum_range", bound) for bound in momentum_range
        ]
        if len(bounds) != 2 or not 0 <= bounds[0] <= bounds[1] < 1:
            raise ValueError(message(owner, "momentum_range", rule, momentum_range))
        self.momentum_range = (bounds[0], bounds[1])

    def evaluate(self, step: Any, xp: ModuleType) -> Any:
        return one_cycle_momentum(step, **self.get_config(), xp=xp)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return super().get_config() | {"momentum_range": list(self.momentum_range)}
