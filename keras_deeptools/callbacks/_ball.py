"""What the updates of one optimizer need to keep weights inside a ball, and count."""

from dataclasses import dataclass
from typing import Any

from keras_deeptools.callbacks._layer_selection import Held
from keras_deeptools.engine import Leaf


@dataclass
class Ball:
    """The weights of one optimizer, and variables of the step.

    Attributes:
        leaf: `Leaf`.
        held: List of `Held`, the weights.
        axes: List of the axes of each.
        shrink: List of floats, where each is scaled to, as a fraction of the limit.
        averages: List of the moving averages; empty without.
        limit: Variable.
        activity: Variable, sum over updates of the fractions of units scaled back.
        num_updates: Int variable.
        since: List of ints, updates before each weight was trained.
    """

    leaf: Leaf
    held: list[Held]
    axes: list[tuple[int, ...]]
    shrink: list[float]
    averages: list[Any]
    limit: Any
    activity: Any
    num_updates: Any
    since: list[int]

    @property
    def trained(self) -> list[int]:
        """Places in `held` of the weights that train, as far as is known by now."""
        return [i for i, item in enumerate(self.held) if item.variable.trainable]
