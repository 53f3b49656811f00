"""How even signals and gradients are over the layers of a model, as one number."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_deeptools.initializers._scale_walk import WalkRow


@dataclass(frozen=True)
class Objective:
    """What `rebalance` minimizes.

    Args:
        forward_weight: Float in [0, 1], weight of the variance over layers of the
            logarithm of signals; that of gradients has the rest.
        level_weight: Float >= 0, weight of the distance of signals from the target.
        target: Float > 0, standard deviation of signals.

    Raises:
        ValueError: If a weight is out of range.
    """

    forward_weight: float
    level_weight: float
    target: float

    def __post_init__(self) -> None:
        if not _is_number(self.forward_weight) or not 0 <= self.forward_weight <= 1:
            raise ValueError(
                "rebalance: `forward_weight` must be in [0, 1]. Received: "
                f"forward_weight={self.forward_weight!r}. Give 0.5 for both alike."
            )
        if not _is_number(self.level_weight) or not 0 <= self.level_weight < math.inf:
            raise ValueError(
                "rebalance: `level_weight` must be a number >= 0. Received: "
                f"level_weight={self.level_weight!r}. Give 0 to leave the level free."
            )

    def __call__(self, rows: list[WalkRow]) -> float:
        """The objective; infinite where nothing has a gradient."""
        residuals = self.residuals(rows)
        total = float(residuals @ residuals)
        return total if math.isfinite(total) else math.inf

    def residuals(self, rows: list[WalkRow]) -> np.ndarray:
        """What the objective is the sum of squares of.

        Args:
            rows: List of `WalkRow` with gradients. Those that are the same everywhere
                or have no gradient have no part in it.

        Returns:
            Float64 array; twice as many numbers as rows, and one.
        """
        used = np.array([row.varies and row.gradient > 0 for row in rows])
        with np.errstate(divide="ignore"):
            signals = np.log([row.std / self.target for row in rows])
            gradients = np.log([row.gradient for row in rows])
        if not used.any():
            return np.full(2 * len(rows) + 1, np.inf)
        count = used.sum()
        level = signals[used].mean()
        even = np.where(used, signals - level, 0.0)
        back = np.where(used, gradients - gradients[used].mean(), 0.0)
        return np.concatenate(
            [
                math.sqrt(self.forward_weight / count) * even,
                math.sqrt((1 - self.forward_weight) / count) * back,
                [math.sqrt(self.level_weight) * level],
            ]
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
