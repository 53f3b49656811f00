"""Epochs of several ways to train one model, timed in turn in one process.

Other processes only add time, so the ratios are of a low quantile of many epochs, and
the plain way runs twice: how far the second is from the first is the noise of the
measurement.
"""

import contextlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from alternating import ratio_error
from keras import ops

from keras_deeptools import attach
from keras_deeptools.callbacks import TrainingFeature
from keras_deeptools.diagnosis import ActivationMonitor, TrainingDoctor
from keras_deeptools.diagnosis._training_doctor.curves import BatchLosses

BATCH_SIZE = 128
STEPS_PER_EPOCH = 100
PLAIN, CONTROL = "plain `fit`", "plain `fit` again (control)"


@dataclass
class Times:
    """What each contender took, round by round.

    Attributes:
        steps: Dict from contender to seconds of the steps of an epoch.
        reading: Dict from contender to seconds of the work at the end of an epoch.
        num_steps: Steps in a timed epoch.
        quantile: Which quantile of the times counts.
    """

    steps: dict[str, list[float]]
    reading: dict[str, list[float]]
    num_steps: int
    quantile: float

    def ratio(self, kind: str, epoch: int | None = None) -> float:
        """How many times as long as the plain way.

        Args:
            kind: The contender.
            epoch: Steps in an epoch, whose end is counted in; None: steps alone.
        """
        low = {k: self._low(k, epoch) for k in (kind, PLAIN)}
        return float(low[kind] / low[PLAIN])

    def _low(self, kind: str, epoch: int | None) -> float:
        steps = float(np.quantile(self.steps[kind], self.quantile))
        if epoch is None:
            return steps
        return steps * epoch / self.num_steps + self.end_of_epoch(kind)

    def end_of_epoch(self, kind: str) -> float:
        """Seconds of the work at the end of an epoch."""
        return float(np.quantile(self.reading[kind], self.quantile))

    def spread(self, kind: str) -> float:
        """Standard error of the ratio of steps."""
        both = np.array([self.steps[kind], self.steps[PLAIN]])
        return ratio_error(both, self.quantile)

    @property
    def conclusive(self) -> bool:
        """Whether the control is within 2% of the plain way."""
        return abs(self.ratio(CONTROL) - 1) <= 0.02


def compare(
    make: Callable[[], keras.Model],
    contenders: dict[str, Callable[[], keras.callbacks.Callback]],
    x: np.ndarray,
    y: np.ndarray,
    rounds: int,
    quantile: float,
    models: dict[str, Callable[[], keras.Model]] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Times:
    """Trains a copy of the model for each contender, an epoch of each per round.

    Args:
        make: Makes a compiled model.
        contenders: Dict from a name to a function that makes the callback.
        x: Inputs of one epoch.
        y: Targets of one epoch.
        rounds: Epochs of each, after three to warm up.
        quantile: Which quantile of the times counts.
        models: Dict from a name to a function that makes a compiled model of its own,
            for contenders that are no callbacks.
        clock: Function that returns seconds.

    Returns:
        `Times`.
    """
    kinds: dict[str, Callable | None] = {PLAIN: None, CONTROL: None, **contenders}
    runners = {
        kind: Runner(make(), new and new(), clock) for kind, new in kinds.items()
    }
    for kind, make_own in (models or {}).items():
        kinds[kind] = None
        runners[kind] = Runner(make_own(), None, clock)
    steps: dict[str, list[float]] = {kind: [] for kind in kinds}
    reading: dict[str, list[float]] = {kind: [] for kind in kinds}
    with contextlib.ExitStack() as stack:
        for runner in runners.values():
            stack.enter_context(runner)
            for _ in range(3):
                runner.epoch(x, y)
        for _ in range(rounds):
            for kind in random.sample(list(kinds), len(kinds)):
                during, after = runners[kind].epoch(x, y)
                steps[kind].append(during)
                reading[kind].append(after)
    return Times(steps, reading, len(x) // BATCH_SIZE, quantile)


class Runner:
    """Epochs of one model, with a feature attached throughout.

    A feature is attached once and its hooks are called in each `fit`, so that no epoch
    has to compile the step again.
    """

    def __init__(
        self,
        model: keras.Model,
        callback: Any,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.model, self.clock = model, clock
        self.feature = callback if isinstance(callback, TrainingFeature) else None
        self.hooks = [_EpochHooks(callback)] if self.feature else []
        if isinstance(callback, (ActivationMonitor, TrainingDoctor)):
            self.feature = getattr(callback, "gradients", None)
            self.hooks = [_DiagnosisHooks(callback)]
        elif callback is not None and self.feature is None:
            self.hooks = [callback]

    def __enter__(self) -> "Runner":
        self.attachment = attach(self.model, self.feature) if self.feature else None
        return self

    def __exit__(self, *error: object) -> None:
        if self.attachment is not None:
            self.attachment.detach()

    def epoch(self, x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
        """Seconds of the steps of an epoch, and of the callbacks' work at its end."""
        steps, whole = _Stopwatch(self.clock), _Stopwatch(self.clock)
        self.model.fit(
            x,
            y,
            batch_size=BATCH_SIZE,
            shuffle=False,
            verbose=0,
            callbacks=[steps, *self.hooks, whole],
        )
        return steps.end - steps.start, whole.end - steps.end


class _EpochHooks(keras.callbacks.Callback):
    """The hooks of a feature that stays attached between calls of `fit`."""

    def __init__(self, feature: Any) -> None:
        super().__init__()
        self.feature = feature

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.feature.set_model(self.model)
        self.feature.set_params(self.params)
        self.feature.on_epoch_begin(epoch, logs)

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        self.feature.on_train_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.feature.on_train_batch_end(batch, logs)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.feature.on_epoch_end(epoch, logs)


class _DiagnosisHooks(_EpochHooks):
    """The same of what also looks at the data of the first `fit` and at its batches.

    The loss of batches is read as often as in an epoch of the length that is reported.
    """

    begun = False
    async_safe = True

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        if not self.begun:
            self.begun = True
            self.feature.set_model(self.model)
            self.feature.set_params(self.params)
            if isinstance(self.feature, TrainingDoctor):
                self.feature._is_attached = True
                self.feature._begin()
                self.feature._losses = BatchLosses(STEPS_PER_EPOCH, is_mean=True)
            else:
                self.feature.on_train_begin()
        super().on_epoch_begin(epoch, logs)


class _Stopwatch(keras.callbacks.Callback):
    """Notes when an epoch begins and when the device is done with it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self.clock = clock

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.start = self.clock()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.model.get_metrics_result()
        ops.convert_to_numpy(self.model.trainable_variables[0].value)
        self.end = self.clock()
