"""Training that ends within a given time."""

import contextlib
import math
from collections import deque
from time import monotonic
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import checked_float
from keras_deeptools.callbacks._best_weights import BestWeights
from keras_deeptools.callbacks._training_feature import ConfiguredCallback
from keras_deeptools.engine._update.train_step import running_fit

OWNER = "TimeLimit"
NUM_REMEMBERED = 32
"""Number of latest batches from whose times the time of the next one is estimated."""


@keras.saving.register_keras_serializable(package="keras_deeptools")
class TimeLimit(ConfiguredCallback):
    """Ends `fit` in time: before a batch that would exceed the limit, not after it.

    The time of `fit` counts from the beginning of training: batches, the reading of
    data between them, validation and other callbacks. Training ends, also in the middle
    of an epoch, when the next batch and the end of an epoch (validation, checkpoints)
    would no longer fit into the limit. Their times are estimated from the slowest of
    the latest batches and the slowest end of an epoch so far. The epoch is then ended
    as usual, with its validation, and so is `fit`. Before the first end of an epoch,
    the time of the validation is estimated from the number of its batches, if known,
    as if each took as long as a batch of training.

    At least one batch is trained, so a limit that is shorter than one batch and one
    validation is exceeded. The clock is monotonic, and does not count while the
    computer sleeps. On an accelerator, reading the clock after each batch waits for the
    batch to finish.

    A learning rate that should end low needs a schedule that knows how many batches
    there will be; see `OneCycleScheduler(total_steps=...)`.

    Args:
        seconds: Float >= 0. The limit.
        minutes: Float >= 0, added to `seconds`. Together they must be > 0.
        monitor: Str or None. An entry of the logs, such as `"val_loss"`: the model then
            gets the weights of its best epoch at the end, as with `BestWeights`.
        mode: `"min"`, `"max"` or `"auto"`, as for `BestWeights`.

    Attributes:
        elapsed: Float. Seconds that the last `fit` took, until now or until its end.
        stopped_epoch: Int or None. The epoch, counted from 0, in or after which the
            limit ended the last `fit`.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is out of range, or where `BestWeights` raises it.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.callbacks import TimeLimit
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", loss="mse")
    >>> limit = TimeLimit(minutes=0.01)
    >>> x, y = np.ones((4, 2)), np.ones((4, 1))
    >>> history = model.fit(x, y, epochs=10**6, callbacks=[limit], verbose=0)
    >>> limit.stopped_epoch is not None
    True
    """

    def __init__(
        self,
        seconds: float = 0.0,
        minutes: float = 0.0,
        monitor: str | None = None,
        mode: str = "auto",
    ) -> None:
        super().__init__()
        self.seconds = checked_float(OWNER, "seconds", seconds, at_least=0)
        self.minutes = checked_float(OWNER, "minutes", minutes, at_least=0)
        if not self.budget:
            raise ValueError(
                f"{OWNER}: `seconds` or `minutes` must be > 0. Received: seconds="
                f"{seconds!r}, minutes={minutes!r}. Give how long `fit` may take."
            )
        self.monitor = monitor
        self.mode = mode
        self._best = None if monitor is None else BestWeights(monitor, mode)
        self._forget()

    def _forget(self) -> None:
        self.elapsed = 0.0
        self.stopped_epoch: int | None = None
        self._epoch = 0
        self._first: float | None = None
        self._batches: deque[float] = deque(maxlen=NUM_REMEMBERED)
        self._ends: list[float] = []
        self._num_validated = 0
        self._start = self._latest = monotonic()

    @property
    def budget(self) -> float:
        """The limit in seconds."""
        return self.seconds + 60 * self.minutes

    def set_model(self, model: Any) -> None:
        """Stores the model, also for the best weights."""
        super().set_model(model)
        if self._best is not None:
            self._best.set_model(model)

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Starts the clock."""
        self._forget()
        if self._best is not None:
            self._best.on_train_begin(logs)
        self.check_model()
        self._num_validated = _validation_batches(self.model)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Notes the time that the end of the previous epoch took."""
        self._epoch = epoch
        before, now = self._latest, self._now()
        if self._ends:
            # This includes the callbacks that come after this one in the list.
            self._ends[-1] = now - before

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Ends training if another batch would not fit in."""
        before, now = self._latest, self._now()
        if self._first is None:
            # The time of the first batch includes tracing and compiling the step.
            self._first = now - before
        else:
            self._batches.append(now - before)
        self._check()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Keeps the best weights, and ends training if no batch would fit in."""
        if self._best is not None:
            self._best.on_epoch_end(epoch, logs)
        self.elapsed = monotonic() - self._start
        self._ends.append(self._start + self.elapsed - self._latest)
        self._check()

    def on_train_end(self, logs: dict | None = None) -> None:
        """Gives back the best weights, and stops the clock."""
        if self._best is not None:
            self._best.on_train_end(logs)
        self.elapsed = monotonic() - self._start

    def _now(self) -> float:
        self._latest = monotonic()
        self.elapsed = self._latest - self._start
        return self._latest

    def _check(self) -> None:
        if self.stopped_epoch is None and self.elapsed + self._needed() > self.budget:
            self.stopped_epoch = self._epoch
            self.model.stop_training = True

    def _needed(self) -> float:
        """Seconds for one more batch and the end of its epoch."""
        first = self._first or 0.0
        if not self._batches:
            return first + max(self._ends, default=0.0)
        if self._ends:
            return max(self._batches) + max(self._ends)
        usual = float(np.median(self._batches))
        # The step of the validation has to be traced, too.
        traced = max(first - usual, 0.0) if self._num_validated else 0.0
        return max(self._batches) + traced + usual * self._num_validated

    def __getstate__(self) -> dict[str, Any]:
        """Leaves out the model: a copy belongs to no model."""
        return super().__getstate__() | {"_start": 0.0, "_latest": 0.0}


def _validation_batches(model: Any) -> int:
    """Number of batches of the validation; 0 if there is none or it is not known."""
    known = running_fit(model)
    data = None if known is None else known.arguments["validation_data"]
    if known is None or data is None:
        return 0
    with contextlib.suppress(TypeError, AttributeError, IndexError):
        if not isinstance(data, (tuple, list)):
            return len(data)
        samples = len(keras.tree.flatten(data[0])[0])
        return math.ceil(samples / (known.arguments["batch_size"] or 32))
    return 0
