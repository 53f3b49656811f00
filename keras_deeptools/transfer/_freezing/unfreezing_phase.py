"""How far a `fit` that unfreezes gradually has come."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class UnfreezingPhase:
    """A part of a `fit` in which the same layer groups train.

    Made by `GradualUnfreezing`.

    Attributes:
        epoch: Int, the first epoch of the phase, from 0.
        update: Int, number of updates that the optimizer had made when it began.
        group: Str, name of the first group that trains; all groups after it train too.
        num_groups: Int, number of groups that train.
        num_parameters: Int, number of parameters in these groups that are trained.

    Example:

    >>> from keras_deeptools.transfer import UnfreezingPhase
    >>> print(UnfreezingPhase(3, 120, "block5", 2, 1_500_000))
    from epoch 3, update 120: 2 groups train, from block5 on (1,500,000 parameters)
    """

    epoch: int
    update: int
    group: str
    num_groups: int
    num_parameters: int

    def __str__(self) -> str:
        plural = self.num_groups != 1
        trained = f"{self.num_groups} group{'s' * plural} train{'s' * (not plural)}"
        return (
            f"from epoch {self.epoch}, update {self.update}: {trained}, from "
            f"{self.group} on ({self.num_parameters:,} parameters)"
        )


def due_by_epoch(epochs: int | Sequence[int], epoch: int) -> int:
    """Groups to be unfrozen by the beginning of an epoch.

    Args:
        epochs: Int, every so many epochs; or the epochs, increasing.
        epoch: Int >= 0.
    """
    if isinstance(epochs, int):
        return epoch // epochs
    return sum(epoch >= first for first in epochs)


@dataclass
class UnfreezingProgress:
    """What has been unfrozen, and the course of the monitored quantity.

    Args:
        num_unfrozen: Int, groups that were unfrozen.
        num_due: Int, groups to be unfrozen when the next epoch begins.
        best: Float, the best number so far; NaN before the first.
        wait: Int, epochs in a row without improvement.
        history: List of `UnfreezingPhase`.
    """

    num_unfrozen: int = 0
    num_due: int = 0
    best: float = math.nan
    wait: int = 0
    history: list[UnfreezingPhase] = field(default_factory=list)

    def judge(self, value: float, mode: str, min_delta: float, patience: int) -> None:
        """Takes the number of one epoch; one more group is due if patience is out."""
        gain = self.best - value if mode == "min" else value - self.best
        if math.isnan(self.best) or gain > min_delta:
            self.best, self.wait = value, 0
            return
        self.wait += 1
        if self.wait >= patience:
            self.num_due, self.wait = self.num_due + 1, 0

    def as_json(self) -> dict[str, Any]:
        """Plain numbers, strings, lists and dicts."""
        return asdict(self)

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> "UnfreezingProgress":
        """The reverse of `as_json`."""
        history = [UnfreezingPhase(**phase) for phase in found["history"]]
        return cls(**found | {"history": history})
