"""Training again from where all was finite, up to the batch at which it is not."""

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from keras_deeptools.diagnosis._training_doctor.replay import Origin, replayed
from keras_deeptools.diagnosis._training_doctor.user_lines import is_bad
from keras_deeptools.engine import Snapshot
from keras_deeptools.engine._backends.active import training
from keras_deeptools.engine._backends.common import on_host
from keras_deeptools.engine._data.batch_loss import batch_logs, train_by_batch
from keras_deeptools.engine._data.fit_data import FitData
from keras_deeptools.engine._keras_private.training import is_distributed
from keras_deeptools.engine._state.temporary_weights import StandIns

MOST_BYTES = 2**28
"""Larger models are not copied to the host at every epoch."""

SECONDS = 15.0
"""Time that the training may take that is done again."""

LEAST_UPDATES = 50

KEPT_EVERY = 100
"""Batches after which the state is copied again, at the start of an epoch."""


@dataclass(frozen=True, eq=False)
class Replay:
    """What training again showed.

    Attributes:
        origin: `Origin`, or None where everything was finite.
        growth: Float, the largest norm of a kernel over what it was at the start.
        num_updates: Int, updates made again before it.
    """

    origin: Origin | None
    growth: float
    num_updates: int


class LastGood:
    """The state of a model at the last moment that was known to be good.

    Args:
        model: `keras.Model`, at the start of its training.

    Attributes:
        start: Dict from the path of each variable to its value at the start; empty
            where the first step builds the model.
        num_batches: Int, batches that were trained on since the state was copied.
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        self._snapshot: Snapshot | None = None
        self._trained: list[int] = []
        self.num_batches = 0
        self.start = values_of(model)

    def begin_epoch(self) -> None:
        """Copies the state, unless that was done a few batches ago."""
        trained = [id(each) for each in self.model.trainable_variables]
        if self.num_batches >= KEPT_EVERY or trained != self._trained:
            self._trained = trained
            self.keep()

    def keep(self) -> None:
        """Copies the state, where the model is not too large for it."""
        self.num_batches = 0
        optimizer = getattr(self.model, "optimizer", None)
        held = [*self.model.variables, *getattr(optimizer, "variables", [])]
        size = sum(4 * int(np.prod(each.shape)) for each in held)
        if size <= MOST_BYTES and not is_distributed(self.model):
            self._snapshot = Snapshot(self.model)

    @contextlib.contextmanager
    def at_start(self) -> Iterator[None]:
        """A block in which the model has the weights that it began with."""
        stand_ins = StandIns(self.model)
        held = [v for v in self.model.variables if v.path in self.start]
        try:
            stand_ins.show([(v, self.start[v.path]) for v in held])
            yield
        finally:
            stand_ins.hide()

    def replayed(self, data: FitData, batch_size: int, shuffles: bool) -> Replay | None:
        """Where training from here on stops to be finite; the model stays as it is.

        Args:
            data: What `fit` reads.
            batch_size: Int.
            shuffles: Bool, whether `fit` shuffles arrays.

        Returns:
            `Replay`; None where the data or the weights cannot be had again.
        """
        model = self.model
        if not data.can_be_read_again or is_distributed(model):
            return None
        now = Snapshot(model)
        try:
            if any(is_bad(v.value) for v in model.variables):
                if self._snapshot is None:
                    return None
                self._snapshot.restore()
            train_by_batch(model)
            most = max(2 * self.num_batches, LEAST_UPDATES)
            return self._run(_batches(data, batch_size, shuffles, most))
        finally:
            now.restore()

    def _run(self, batches: Iterator[tuple[Any, Any]]) -> Replay:
        model, began, number = self.model, time.monotonic(), 0
        before = values_of(model)
        for number, (batch, positions) in enumerate(batches):
            logs = batch_logs(model, training.converted(batch))
            after = values_of(model)
            broken = any(is_bad(value) for value in after.values())
            if broken or not all(map(math.isfinite, logs.values())):
                self._assign(before)
                origin = replayed(model, batch)
                if origin is None and broken:
                    origin = Origin("update", "optimizer")
                if origin is not None and positions is not None:
                    rows = tuple(int(positions[each]) for each in origin.rows)
                    origin = replace(origin, rows=rows)
                return Replay(origin, self._growth(before), number)
            before = after
            if time.monotonic() - began > SECONDS:
                break
        return Replay(None, self._growth(before), number)

    def _assign(self, values: dict[str, np.ndarray]) -> None:
        for variable in self.model.variables:
            if variable.path in values:
                variable.assign(values[variable.path])

    def _growth(self, values: dict[str, np.ndarray]) -> float:
        ratios = [
            float(np.linalg.norm(values[v.path].astype("float64")))
            / float(np.linalg.norm(self.start[v.path].astype("float64")))
            for v in self.model.trainable_variables
            if v.path in self.start and v.path in values
            if len(v.shape) > 1 and np.any(self.start[v.path])
        ]
        return max(ratios, default=1.0)


def values_of(model: keras.Model) -> dict[str, np.ndarray]:
    """Copies on the host of a model's variables, by path; none of an unbuilt model.

    Args:
        model: `keras.Model`.
    """
    return {v.path: on_host(v) for v in model.variables} if model.built else {}


def _batches(
    data: FitData, size: int, shuffles: bool, most: int
) -> Iterator[tuple[Any, Any]]:
    """Batches with the positions of their samples, over and over."""
    count, length = 0, data.num_samples
    generator = np.random.default_rng(0)
    while count < most:
        order = None if length is None else np.arange(length)
        if length is not None and shuffles:
            order = generator.permutation(length)
        before = count
        for number, batch in enumerate(data.batches(size, order)):
            rows = None if order is None else order[number * size :]
            yield batch, rows
            count += 1
            if count >= most:
                return
        if count == before:
            return
