"""Judges whether a batch is like those before it, and keeps the state for that."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from keras_deeptools.engine import Leaf, RateMultipliers, tensors
from keras_deeptools.engine._backends.captured_update import Verdict
from keras_deeptools.engine._backends.common import on_host
from keras_deeptools.engine._graph.layers import layers_of

NUM_LOGGED = 64
"""Number of bad batches that the step can record between two readings."""
SEEN, STREAK, BATCHES, EVENTS = range(4)
"""Indices of the counts: good batches, bad ones in a row, all and bad batches."""


def judged(
    values: list[Any],
    measures: list[Any],
    threshold: float,
    damps: bool,
    is_scaled: bool,
) -> tuple[list[Any], Verdict]:
    """Judges whether a batch is like those before it.

    Args:
        values: List of tensors: the latest measures `(3, window)`, the medians of the
            first `(3,)`, counts `(4,)`, a log `(NUM_LOGGED, 4)` and the batches in it
            `(NUM_LOGGED,)`.
        measures: List of three scalar tensors: the global norm of the gradients, the
            loss, and the norm of the change of statistics. None stands for one that
            does not exist.
        threshold: Float > 1.
        damps: Bool. Whether a gradient spike is scaled down instead of skipped.
        is_scaled: Bool. Whether a loss scale is in use; its optimizer must see
            gradients that are not finite.

    Returns:
        Tuple of the new values and a `Verdict`.
    """
    latest, medians, counts, log, places = values
    window, norm = latest.shape[1], measures[0]
    now = ops.stack(
        [
            ops.zeros_like(norm) if m is None else ops.cast(m, norm.dtype)
            for m in measures
        ]
    )
    finite = ops.isfinite(now)
    overflows = ops.logical_not(finite[0])
    # The batch is not to blame if the loss scale has made the gradients infinite.
    tells_apart = is_scaled and measures[1] is not None
    is_lost = ops.logical_not(ops.all(finite[1:] if tells_apart else finite))
    largest = ops.max(latest, axis=1)
    # A loss may be negative, so losses are compared by their range.
    offset, extent = ops.array([0.0, 1.0, 0.0]), ops.array([0.0, 1.0, 0.0])
    spread = largest - extent * ops.min(latest, axis=1)
    limits = ops.maximum(offset * largest + threshold * spread, medians)
    limits = ops.where(counts[SEEN] >= window, limits, float("inf"))
    over = ops.logical_and(finite, now > limits)
    spikes = ops.logical_and(ops.any(over), ops.logical_not(is_lost))
    bad = ops.logical_or(is_lost, spikes)
    good = ops.logical_not(bad)

    kept = ops.logical_and(good, finite[0])
    place = ops.equal(ops.arange(window, dtype="int32"), ops.mod(counts[SEEN], window))
    latest = ops.where(ops.logical_and(place, kept)[None], now[:, None], latest)
    is_full = ops.logical_and(kept, ops.equal(counts[SEEN], window - 1))
    medians = tensors.choose(
        is_full, lambda: ops.sort(latest, axis=1)[:, window // 2], lambda: medians
    )
    first = ops.argmax(ops.cast(over, "int32"))
    kind = ops.where(is_lost, 1.0, 2.0 + ops.cast(first, "float32"))
    row = ops.stack([kind, now[0], now[1], ops.take(limits, first)])
    here = ops.equal(
        ops.arange(NUM_LOGGED, dtype="int32"), ops.mod(counts[EVENTS], NUM_LOGGED)
    )
    here = ops.logical_and(here, bad)
    log = ops.where(here[:, None], row, log)
    places = ops.where(here, counts[BATCHES], places)
    one = ops.cast(bad, "int32")
    counts = ops.stack(
        [
            counts[SEEN] + ops.cast(kept, "int32"),
            (counts[STREAK] + one) * one,
            counts[BATCHES] + 1,
            counts[EVENTS] + one,
        ]
    )
    applied, factor = good, None
    if damps:
        damped = ops.logical_and(spikes, over[0])
        safe = ops.where(damped, norm, ops.ones_like(norm))
        factor = ops.where(damped, limits[0] / safe, ops.ones_like(norm))
        applied = ops.logical_or(good, damped)
    if is_scaled:
        # The loss scale has to be lowered.
        applied = ops.logical_or(applied, overflows)
    return [latest, medians, counts, log, places], Verdict(applied, good, factor)


@dataclass
class Guard:
    """The state in the step of one optimizer, and the copies on the host."""

    leaf: Leaf
    memory: list[Any]
    rate: Any
    multipliers: RateMultipliers | None
    active: bool = True

    @property
    def counts(self) -> np.ndarray:
        """`SEEN`, `STREAK`, `BATCHES` and `EVENTS`, on the host."""
        return np.array(self.leaf.read(self.memory[2]))

    def statistics(self) -> list[Any]:
        """Variables that batches change without the optimizer.

        Those of frozen layers, which may be large, are left out.
        """
        model = self.leaf.model
        known = {id(variable) for variable in model.non_trainable_variables}
        return [
            variable
            for layer, held in layers_of(model)
            if layer.trainable
            for variable in held.values()
            if id(variable) in known and not variable.trainable
        ]

    def copied(self) -> list[tuple[Any, np.ndarray]]:
        """Weights, statistics and the slots of the optimizer, copied to the host."""
        leaf = self.leaf
        optimizer = leaf.optimizer
        own = {id(variable) for variable in leaf.state}
        own |= {id(optimizer.iterations), id(optimizer.learning_rate)}
        slots = [
            v for v in optimizer.variables if id(v) not in own and v.dtype != "int32"
        ]
        found = [*leaf.model.trainable_variables, *self.statistics(), *slots]
        found += leaf.copies
        return [(v, on_host(v)) for v in {id(v): v for v in found}.values()]
