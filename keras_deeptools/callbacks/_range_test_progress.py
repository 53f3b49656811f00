"""Bookkeeping of a running range test."""

import math

MAX_SKIPPED = 100
"""Batches in a row without an update before the test is given up."""


class Progress:
    """The losses so far, one per update, and whether they have blown up.

    Args:
        stop_factor: Float > 1 or None.
        smoothing: Float in [0, 1).
    """

    def __init__(self, stop_factor: float | None, smoothing: float) -> None:
        self.losses: list[float] = []
        self.batches_drawn = 0
        self.ending = ""
        self.smoothed = math.nan
        self._stop_factor = stop_factor
        self._smoothing = smoothing
        self._average = self._weight = 0.0
        self._lowest = math.inf
        self._pending: list[float] = []

    def add(self, loss: float, num_updates: int) -> None:
        """Takes the loss of a batch and the number of updates made after it."""
        self.batches_drawn += 1
        self._pending.append(loss)
        broken = not math.isfinite(loss) and self._stop_factor is not None
        if num_updates > len(self.losses) or broken:
            self._complete(sum(self._pending) / len(self._pending))
            self._pending.clear()
        elif len(self._pending) >= MAX_SKIPPED and self._stop_factor is not None:
            self.ending = (
                f"Ended because {MAX_SKIPPED} batches in a row brought no update: "
                "their gradients are not finite."
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
            self.ending = "Ended by a loss that is not finite."
        elif self.smoothed > allowed:
            self.ending = f"Ended by a loss over {self._stop_factor:g} x its minimum."
