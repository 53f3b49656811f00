"""Losses of single batches, from the running mean that `fit` tells its callbacks."""

from typing import Any

import keras

from keras_deeptools.engine._backends.common import on_host

READ_PER_EPOCH = 12
"""Pairs of batches of an epoch that are read, each of which waits for the device."""

UNKNOWN_STEPS = 400
"""Batches taken for an epoch of data whose number is not known."""


class BatchLosses:
    """Reads the loss after some batches, in pairs, which tell the loss of the second.

    Args:
        num_steps: Int, batches of an epoch; 0 where that is not known.
        is_mean: Bool, whether logs hold the running mean of the epoch. A train step of
            the user's may report anything.

    Attributes:
        values: List of floats, losses of batches, or means of those that are run at
            once (`steps_per_execution`).
    """

    def __init__(self, num_steps: int, is_mean: bool) -> None:
        self.values: list[float] = []
        self._is_mean = is_mean
        self._every = max((num_steps or UNKNOWN_STEPS) // READ_PER_EPOCH, 2)
        self.begin_epoch()

    def begin_epoch(self) -> None:
        """Forgets the mean of the epoch before."""
        self._total, self._last, self._count = 0.0, -1, 0
        self._read = -1

    def add(self, batch: int, logs: dict[str, Any] | None) -> float | None:
        """Reads the loss where it is time; returns the mean so far.

        Args:
            batch: Int, the number of the last batch that was run.
            logs: Dict, as `on_train_batch_end` gets it.
        """
        before, self._last = self._last, batch
        number, self._count = self._count, self._count + 1
        if number % self._every and (number + 1) % self._every:
            return None
        value = (logs or {}).get("loss")
        if value is None:
            return None
        mean = float(on_host(value)) if keras.ops.is_tensor(value) else float(value)
        total = mean * (batch + 1)
        if self._is_mean and self._read == before:
            self.values.append((total - self._total) / max(batch - before, 1))
        self._total, self._read = total, batch
        return mean
