"""The 1cycle policy for the momentum, the mirror image of the learning rate."""

from types import ModuleType
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import checked_float, message
from keras_deeptools.schedules._anneal import Cycle, run_cycle


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

    The pure function behind `OneCycleMomentum`, which checks the arguments.

    Args:
        step: Integer scalar or array. Optimizer updates so far, from 0.
        total_steps: Int >= 1. Updates in the cycle.
        momentum_range: Two floats in [0, 1). Momentum at the peak of the learning rate,
            and at both ends.
        warmup_fraction: Float in [0, 1]. Part of the cycle in which momentum falls.
        shape: `"cosine"` or `"linear"`.
        three_phase: Bool. As in `one_cycle`.
        xp: Array namespace: `numpy` (float64) or `keras.ops` (float32).

    Returns:
        Float array of the same shape as `step`.

    Example:

    >>> from keras_deeptools.schedules import one_cycle_momentum
    >>> float(one_cycle_momentum(29, total_steps=100))
    0.85
    """
    low, high = momentum_range
    return run_cycle(
        step,
        values=(high, low, high if three_phase else None, high),
        total_steps=total_steps,
        warmup_fraction=warmup_fraction,
        shape=shape,
        xp=xp,
    )


@keras.saving.register_keras_serializable(package="keras_deeptools")
class OneCycleMomentum(Cycle):
    """Momentum of the 1cycle policy: low while the learning rate is high.

    Meant for SGD's `momentum` or Adam's `beta_1`, which Keras optimizers take as fixed
    numbers: a callback has to put the schedule there. Equal to what
    `torch.optim.lr_scheduler.OneCycleLR` sets at every step.

    Args:
        total_steps: Int >= 1. Updates in the cycle; its last value is held afterwards.
        momentum_range: Two floats in [0, 1), increasing. The value at the peak of the
            learning rate, and the value at both ends.
        warmup_fraction: Float in [0, 1]. Part of the cycle in which momentum falls.
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
        return {"momentum_range": list(self.momentum_range), **super().get_config()}
