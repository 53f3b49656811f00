"""How far a `fit` that unfreezes gradually has come."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from keras_deeptools.transfer._unfreezing_phase import UnfreezingPhase


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
    """What has been unfrozen, and how what is watched has gone on.

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
