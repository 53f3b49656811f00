"""Bookkeeping of a running range test."""

import math
from collections.abc import Callable

import numpy as np

from keras_deeptools.statistics import suggest_learning_rate

MAX_SKIPPED = 100
"""Number of consecutive batches without an update after which the test ends."""

NOT_FINITE = "Ended by a loss that is not finite."


class Progress:
    """The losses so far, and whether they have diverged.

    There is one loss for each batch or, if an update takes several batches, their mean
    for each update. `positions` has the number of updates made before each loss.

    Args:
        stop_factor: Float > 1 or None.
        smoothing: Float in [0, 1).
    """

    def __init__(self, stop_factor: float | None, smoothing: float) -> None:
        self.losses: list[float] = []
        self.positions: list[int] = []
        self._num_updates = 0
        self.ending = ""
        self.smoothed = math.nan
        self._stop_factor = stop_factor
        self._smoothing = smoothing
        self._average = self._weight = 0.0
        self._lowest = math.inf
        self._pending: list[float] = []

    def add(self, loss: float, num_updates: int) -> None:
        """Takes the loss of a batch and the number of updates made after it."""
        self._pending.append(loss)
        broken = not math.isfinite(loss) and self._stop_factor is not None
        if num_updates > self._num_updates or broken:
            self.positions.append(self._num_updates)
            self._num_updates = num_updates
            self._complete(sum(self._pending) / len(self._pending))
            self._pending.clear()
        elif len(self._pending) >= MAX_SKIPPED and self._stop_factor is not None:
            self.ending = (
                f"Ended because {MAX_SKIPPED} batches in a row brought no update: "
                "their gradients are not finite, or `train_step` uses an optimizer "
                "that is no Keras optimizer of the model."
            )

    def _complete(self, loss: float) -> None:
        self.losses.append(loss)
        if math.isfinite(loss):
            self._average = self._smoothing * self._average
            self._average += (1 - self._smoothing) * loss
            self._weight = self._smoothing * self._weight + (1 - self._smoothing)
            self.smoothed = self._average / self._weight
            self._lowest = min(self._lowest, self.smoothed)
        if self._stop_factor is None:
            return
        allowed = self._lowest + (self._stop_factor - 1) * abs(self._lowest)
        if not math.isfinite(loss):
            self.ending = NOT_FINITE
        elif self.smoothed > allowed:
            self.ending = f"Ended by a loss over {self._stop_factor:g} x its minimum."


class LossLog:
    """Identifies the loss among the logs, and follows its progress.

    The loss is the log that the user names, else `"loss"`, else the only log, or the
    only one with "loss" in its name. If several logs may be the loss, all of them are
    followed, and the one that falls is taken in the end.

    Args:
        owner: Str. Name of the caller, for errors.
        loss_name: Str or None. The name that the user gave.
        stop_factor: Float > 1 or None.
        smoothing: Float in [0, 1).
    """

    def __init__(
        self,
        owner: str,
        loss_name: str | None,
        stop_factor: float | None,
        smoothing: float,
    ) -> None:
        self._owner = owner
        self._loss_name = loss_name
        self._options = (stop_factor, smoothing)
        self._followed: dict[str, Progress] = {}

    def add(self, logs: dict[str, float], num_updates: int) -> None:
        """Takes the logs of a batch and the number of updates made after it."""
        if not self._followed:
            names = self._candidates(logs)
            self._followed = {name: Progress(*self._options) for name in names}
        for name, progress in self._followed.items():
            if not progress.ending:
                progress.add(logs.get(name, math.nan), num_updates)

    @property
    def num_losses(self) -> int:
        """Number of losses that are complete."""
        return max((len(p.losses) for p in self._followed.values()), default=0)

    @property
    def shown(self) -> float:
        """The current smoothed loss, for display."""
        return next(iter(self._followed.values())).smoothed

    @property
    def is_over(self) -> bool:
        """Whether the loss has diverged, or all logs that may be the loss have."""
        endings = [progress.ending for progress in self._followed.values()]
        return bool(endings) and (all(endings) or NOT_FINITE in endings)

    def chosen(
        self, rates_at: Callable[[np.ndarray], np.ndarray]
    ) -> tuple[str, Progress]:
        """The name of the loss and its progress.

        Args:
            rates_at: Function from numbers of updates to learning rates.

        Raises:
            ValueError: If several logs may be the loss, and not exactly one falls.
        """
        if len(self._followed) == 1:
            return next(iter(self._followed.items()))
        falling = [
            name
            for name, progress in self._followed.items()
            if not math.isnan(
                suggest_learning_rate(
                    rates_at(np.array(progress.positions)), np.array(progress.losses)
                ).suggestion
            )
        ]
        if len(falling) == 1:
            return falling[0], self._followed[falling[0]]
        what = "several of them fall" if falling else "none of them clearly falls"
        raise ValueError(
            f"{self._owner}: `loss_name` must say which of the logs of `train_step` "
            f"is the loss, since {what}. Received: loss_name=None with the logs "
            f"{sorted(self._followed)}. Pass for instance "
            f"`loss_name={sorted(falling or self._followed)[0]!r}`."
        )

    def _candidates(self, logs: dict[str, float]) -> list[str]:
        if self._loss_name is not None:
            if self._loss_name not in logs:
                raise ValueError(
                    f"{self._owner}: `loss_name` must be one of the logs that "
                    f"`train_step` returns, {sorted(logs)}. Received: "
                    f"loss_name={self._loss_name!r}."
                )
            return [self._loss_name]
        if not logs:
            raise ValueError(
                f"{self._owner}: `train_step` must return logs with the loss. "
                "Received: an empty dict. Return it: `return {'loss': loss}`."
            )
        # Keras' own tracker is 0 for a `train_step` that keeps another tracker.
        if "loss" in logs and (logs["loss"] != 0 or len(logs) == 1):
            return ["loss"]
        named = [name for name in logs if "loss" in name.lower() and name != "loss"]
        total = [name for name in named if "total" in name.lower()]
        for names in (total, named):
            if len(names) == 1:
                return names
        if "loss" in logs and not named:
            return ["loss"]
        return named or list(logs)
