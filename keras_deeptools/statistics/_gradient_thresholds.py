"""Thresholds from which on gradients count as wrong."""

from dataclasses import asdict, dataclass
from typing import Any

from keras_deeptools._arguments import is_integer, is_number, message


@dataclass(frozen=True)
class GradientThresholds:
    """The limits beyond which a number is a problem.

    The defaults are orders of magnitude away from the gradients of healthy networks, so
    that these give no findings. Layers are compared by the root mean square of a
    kernel's gradient, so that their sizes do not matter.

    Args:
        vanishing_ratio: Float > 0. The first layers vanish if the gradient of each is
            less than this part of the largest one above them.
        exploding_ratio: Float > 0. A layer explodes if its gradient is this many times
            that of the upper half of the layers.
        exploding_jump: Float > 1. The global norm explodes if it jumps to this many
            times its running median, and is ten times the largest so far, unless it
            is over at once and the optimizer does not follow it.
        exploding_growth: Float > 1. The global norm also explodes if its running median
            is this many times what it was at the start, and over 100.
        exploding_norm: Float > 0. The global norm also explodes if it is over this.
        large_update: Float > 0. Updates are large if the median ratio of their norm to
            that of the weights is over this, or if one of them is over ten times this.
            Weights that begin smaller than usual, such as zero, count as usual ones.
        small_update: Float > 0. Updates are small if this ratio stays under this,
            although it neither rises (a warmup) nor has ever been larger (a learning
            rate that was annealed, training that has converged).
        slow_update: Float > 0. The learning rate is too low if in the first updates
            this ratio is under this for every kernel, and all updates that are planned
            can lower the loss by at most `slow_descent` of it.
        slow_descent: Float > 0. A part of the loss.
        patience: Int >= 3. Number of recorded updates that a state must last to be a
            problem.

    Raises:
        TypeError: If a threshold is not a number.
        ValueError: If it is out of range.

    Example:

    >>> from keras_deeptools.statistics import GradientThresholds
    >>> GradientThresholds(patience=50).vanishing_ratio
    0.0001
    """

    vanishing_ratio: float = 1e-4
    exploding_ratio: float = 1e4
    exploding_jump: float = 100.0
    exploding_growth: float = 1e3
    exploding_norm: float = 1e8
    large_update: float = 0.1
    small_update: float = 1e-6
    slow_update: float = 1e-4
    slow_descent: float = 0.1
    patience: int = 20

    def __post_init__(self) -> None:
        least = {"patience": 3, "exploding_jump": 1, "exploding_growth": 1}
        for name, value in asdict(self).items():
            is_kind = is_integer if name == "patience" else is_number
            if not is_kind(value):
                raise TypeError(self._rule(name, value))
            if not value > 0 or value < least.get(name, 0):
                raise ValueError(self._rule(name, value))

    @staticmethod
    def _rule(name: str, value: Any) -> str:
        rule = "an int >= 3" if name == "patience" else "a float > 0"
        if name in ("exploding_jump", "exploding_growth"):
            rule = "a float > 1"
        return message("GradientThresholds", name, rule, value)
