"""The recipe of fine-tuning: how long each phase warms up, how fast each group learns.

fastai's `fine_tune`, for one model in `fine_tune` and for every trial of a search in
`TransferHyperModel`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_deeptools.callbacks._one_cycle_scheduler import momentum_name
from keras_deeptools.engine._update.leaf import leaf_optimizers


@dataclass(frozen=True)
class Cycle:
    """The 1cycle of a phase.

    Args:
        rate_factor: Float, the peak over the learning rate of the whole recipe.
        warmup_fraction: Float, part of the cycle in which the rate rises.
        initial_divisor: Float, the peak over the first rate.

    Example:

    >>> from keras_deeptools.transfer._fine_tune.recipe import ALL_LAYERS_CYCLE
    >>> ALL_LAYERS_CYCLE.peak(2e-3)
    0.001
    """

    rate_factor: float = 1.0
    warmup_fraction: float = 0.3
    initial_divisor: float = 25.0

    def peak(self, learning_rate: float) -> float:
        """The largest rate of the head.

        Args:
            learning_rate: Float, that of the whole recipe.
        """
        return self.rate_factor * learning_rate

    def arguments(self, optimizer: Any, learning_rate: float) -> dict[str, Any]:
        """Arguments of `OneCycleScheduler`, with momentum where there is any.

        Args:
            optimizer: Keras optimizer.
            learning_rate: Float, that of the whole recipe.
        """
        leaves = leaf_optimizers(optimizer)
        return {
            "max_learning_rate": self.peak(learning_rate),
            "warmup_fraction": self.warmup_fraction,
            "initial_divisor": self.initial_divisor,
            "cycle_momentum": all(momentum_name(leaf) is not None for leaf in leaves),
        }


# A head that trains alone, and nothing after it.
HEAD_ALONE = Cycle()
# The head while the body is frozen, before all layers train.
HEAD_CYCLE = Cycle(warmup_fraction=0.99)
ALL_LAYERS_CYCLE = Cycle(rate_factor=0.5, initial_divisor=5.0)


def group_factors(num_groups: int, rate_ratio: float) -> list[float]:
    """What the learning rate is multiplied by in each group; 1 in the last, the head.

    Args:
        num_groups: Int >= 1, with the head.
        rate_ratio: Float >= 1, the rate of the head over that of the first group.

    Example:

    >>> from keras_deeptools.transfer._fine_tune.recipe import group_factors
    >>> group_factors(3, 100.0)
    [0.01, 0.1, 1.0]
    """
    return np.geomspace(1 / rate_ratio, 1.0, num_groups).tolist()
