"""Short trainings from the same start, which leave nothing behind."""

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine import Snapshot, preserved
from keras_deeptools.engine._backends.common import on_host
from keras_deeptools.engine._data.batch_loss import batch_logs, train_by_batch
from keras_deeptools.engine._data.fit_batches import Batches
from keras_deeptools.engine._keras_private.optimizers import rate_of
from keras_deeptools.engine._update.leaf import optimizer_parts
from keras_deeptools.engine._update.model_optimizers import model_optimizers
from keras_deeptools.engine._update.step_reads import has_own_train_step
from keras_deeptools.schedules import Scaled

SCHEDULE = keras.optimizers.schedules.LearningRateSchedule
FACTORS = (10.0, 0.1, 100.0, 0.01, 1000.0)
"""By what the learning rate is multiplied, in the order of their use."""

LEAST_STEPS = 8
MOST_BYTES = 2**27
ROWS_TO_OVERFIT = 32
TIMED_STEPS = 3
"""Steps after which it is known how long one takes: the first ones are compiled."""


@dataclass(frozen=True, eq=False)
class ShortRun:
    """One short training.

    Attributes:
        losses: Float array, the loss of each batch before its update.
        changes: Dict from the path of each trainable variable to the norm of its change
            over the norm that it had.
        num_fresh: Int, how many of the batches at the front were seen for the first
            time.
    """

    losses: np.ndarray
    changes: dict[str, float] = field(default_factory=dict)
    num_fresh: int = 0

    @property
    def is_finite(self) -> bool:
        """Whether all losses were."""
        return bool(np.isfinite(self.losses).all())

    @property
    def start(self) -> float:
        """Loss before any update."""
        return float(self.losses[0])

    @property
    def end(self) -> float:
        """Median loss of the last quarter; infinite where one was not finite."""
        if not self.is_finite:
            return math.inf
        return float(np.median(self.losses[-max(len(self.losses) // 4, 1) :]))

    @property
    def on_fresh_batches(self) -> "ShortRun":
        """The same up to the first batch that was seen before."""
        return ShortRun(self.losses[: self.num_fresh], {}, self.num_fresh)

    @property
    def noise(self) -> float:
        """Standard deviation of the loss from batch to batch."""
        steps = np.diff(self.losses)
        return float(np.median(np.abs(steps)) / 0.95) if len(steps) else 0.0


@dataclass(frozen=True, eq=False)
class Trial:
    """What short trainings showed.

    Attributes:
        plain: `ShortRun` as the model is compiled.
        by_factor: Dict from the factor of the learning rate to its `ShortRun`.
        one_batch: `ShortRun` on a few samples alone, or None.
        shuffled: `ShortRun` with the targets of each batch shuffled among its samples,
            or None.
    """

    plain: ShortRun
    by_factor: dict[float, ShortRun]
    one_batch: ShortRun | None = None
    shuffled: ShortRun | None = None


def run_trial(
    model: keras.Model, batches: Batches, num_steps: int, seconds: float
) -> Trial:
    """Trains a model for some updates, several times from the same start.

    Weights, optimizer, metrics and random states are afterwards what they were.

    Args:
        model: `keras.Model`, compiled.
        batches: What to train on.
        num_steps: Int, updates of each short training.
        seconds: Float. After this time the trainings that matter less are left out.

    Raises:
        Exception: What the train step raises.
    """
    with preserved(model, *batches.generators, build=batches.build):
        if not model.optimizer.built and not has_own_train_step(model):
            # In the first step TensorFlow would make what the snapshot takes away.
            model.optimizer.build(model.trainable_variables)
        train_by_batch(model)
        kept = batches.taken(num_steps, MOST_BYTES)
        snapshot = Snapshot(model)
        began = time.monotonic()
        if not all(each.optimizer.built for each in model_optimizers(model)):
            return Trial(_run(model, kept, num_steps, snapshot), {})
        plain = _run(model, kept, num_steps, snapshot, seconds / 4)
        steps, share = len(plain.losses), math.inf
        if not plain.is_finite:
            steps, share = num_steps, seconds / 4
        by_factor: dict[float, ShortRun] = {}
        for factor in FACTORS:
            if time.monotonic() - began > seconds:
                break
            before = by_factor.get(factor / 10, plain)
            if factor == FACTORS[-1] and not before.end < plain.end:
                continue
            with _scaled_rates(model, factor) as is_scaled:
                if is_scaled:
                    by_factor[factor] = _run(model, kept, steps, snapshot, share)
        one_batch = None
        if time.monotonic() - began < seconds:
            few = _first_of(kept[0], ROWS_TO_OVERFIT)
            one_batch = _run(model, [few], 2 * steps, snapshot, share)
        shuffled = None
        if time.monotonic() - began < seconds:
            others = [_with_other_targets(batch) for batch in kept]
            if None not in others:
                shuffled = _run(model, others, steps, snapshot, share)
    return Trial(plain, by_factor, one_batch, shuffled)


def _first_of(batch: Any, count: int) -> Any:
    return keras.tree.map_structure(
        lambda each: None if each is None else each[:count], batch
    )


def _with_other_targets(batch: Any) -> Any:
    """A batch with its targets in another order; None where it has none."""
    if not isinstance(batch, (tuple, list)) or len(batch) < 2 or batch[1] is None:
        return None
    x, y, *rest = batch
    length = len(keras.tree.flatten(y)[0])
    order = np.random.default_rng(0).permutation(length)
    mixed = keras.tree.map_structure(
        lambda v: v if v is None else _taken_at(v, order), y
    )
    return (x, mixed, *rest)


def _taken_at(values: Any, order: np.ndarray) -> Any:
    return keras.ops.take(keras.ops.convert_to_tensor(values), order, axis=0)


def _run(
    model: keras.Model,
    kept: list[Any],
    steps: int,
    snapshot: Snapshot,
    seconds: float = math.inf,
) -> ShortRun:
    """Trains for some steps; the first ones tell how many there is time for."""
    before = {v.path: on_host(v) for v in model.trainable_variables}
    losses: list[float] = []
    fastest = math.inf
    try:
        while len(losses) < steps:
            began = time.monotonic()
            logs = batch_logs(model, kept[len(losses) % len(kept)])
            losses.append(logs.get("loss", next(iter(logs.values()), math.nan)))
            if not math.isfinite(losses[-1]):
                break
            fastest = min(fastest, time.monotonic() - began)
            if len(losses) == TIMED_STEPS and seconds < math.inf:
                affordable = int(seconds / max(fastest, 1e-6))
                steps = max(LEAST_STEPS, min(steps, affordable))
        after = {v.path: on_host(v) for v in model.trainable_variables}
    finally:
        snapshot.restore()
    changes = {
        path: _relative(before[path], after[path]) for path in before if path in after
    }
    return ShortRun(np.array(losses), changes, min(len(kept), len(losses)))


def _relative(before: np.ndarray, after: np.ndarray) -> float:
    first = np.asarray(before, "float64")
    norm = float(np.linalg.norm(first))
    change = float(np.linalg.norm(np.asarray(after, "float64") - first))
    return change / norm if norm > 0 else math.inf if change > 0 else 0.0


@contextlib.contextmanager
def _scaled_rates(model: keras.Model, factor: float) -> Iterator[bool]:
    """All learning rates times a factor; False where there are none.

    A step with another schedule is compiled again; restoring a `Snapshot` brings back
    the one before.
    """
    known = learning_rates(model)
    for optimizer, rate in known:
        is_number = isinstance(rate, float)
        optimizer.learning_rate = rate * factor if is_number else Scaled(rate, factor)
    if not all(isinstance(rate, float) for _, rate in known):
        model.make_train_function(force=True)
    try:
        yield bool(known)
    finally:
        for optimizer, rate in known:
            optimizer.learning_rate = rate


def learning_rates(model: keras.Model) -> list[tuple[Any, Any]]:
    """Optimizers that have a learning rate, with the number or the schedule.

    Args:
        model: `keras.Model`, compiled.
    """
    found: list[tuple[Any, Any]] = []
    for each in model_optimizers(model):
        for part in optimizer_parts(each.optimizer):
            with contextlib.suppress(AttributeError):
                held = rate_of(part)
                if not isinstance(held, SCHEDULE):
                    held = float(keras.ops.convert_to_numpy(held))
                found.append((part, held))
    return found


def rate_set(optimizer: Any) -> float | None:
    """The learning rate of an optimizer; None for a schedule, or where there is none.

    Args:
        optimizer: Keras optimizer.
    """
    for part in optimizer_parts(optimizer):
        try:
            held = rate_of(part)
        except AttributeError:
            continue
        if isinstance(held, SCHEDULE):
            return None
        return float(keras.ops.convert_to_numpy(held))
    return None


def schedule_set(optimizer: Any) -> Any:
    """The schedule that an optimizer was made with; None where it has a number.

    Args:
        optimizer: Keras optimizer.
    """
    for part in optimizer_parts(optimizer):
        with contextlib.suppress(AttributeError):
            held = rate_of(part)
            if isinstance(held, SCHEDULE):
                return held
    return None
