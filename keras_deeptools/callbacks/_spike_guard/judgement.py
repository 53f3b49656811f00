"""Whether a batch is like those before it, and what the step remembers for that."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from keras_deeptools.engine import Leaf, RateMultipliers, tensors
from keras_deeptools.engine._backends.captured_update import Verdict
from keras_deeptools.engine._backends.common import on_host
from keras_deeptools.engine._graph.layers import layers_of

NUM_LOGGED = 64
"""Bad batches that the step can note between two readings."""
SEEN, STREAK, BATCHES, EVENTS = range(4)
"""Good batches, bad ones in a row, all batches, bad batches."""


def judged(
    values: list[Any],
    norm: Any,
    loss: Any,
    threshold: float,
    damps: bool,
    is_scaled: bool,
) -> tuple[list[Any], Verdict]:
    """Whether the gradient and the loss of a batch are like those before it.

    Args:
        values: List of tensors: the latest norms `(window,)`, the latest losses
            `(window,)`, the medians of the first of both `(2,)`, counts `(4,)`, a log
            `(NUM_LOGGED, 4)` and the batches in it `(NUM_LOGGED,)`.
        norm: Scalar tensor, the global norm of the gradients.
        loss: Scalar tensor, or None where it is not known.
        threshold: Float > 1.
        damps: Bool. Whether spikes are scaled down instead of skipped.
        is_scaled: Bool. Whether a loss scale is in use, whose optimizer is told of
            gradients that are not finite.

    Returns:
        Tuple of the new values and a `Verdict`.
    """
    norms, losses, medians, counts, log, places = values
    window = norms.shape[0]
    has_loss = loss is not None
    loss = ops.zeros_like(norm) if loss is None else loss
    is_known = ops.isfinite(norm)
    is_lost = ops.logical_not(ops.isfinite(loss))
    overflows = ops.logical_not(is_known)
    if not (is_scaled and has_loss):
        is_lost = ops.logical_or(is_lost, overflows)
    can_judge = counts[SEEN] >= window
    largest, smallest = ops.max(losses), ops.min(losses)
    limits = ops.stack(
        [
            threshold * ops.max(norms),
            largest + threshold * (largest - smallest),
        ]
    )
    limits = ops.where(can_judge, ops.maximum(limits, medians), float("inf"))
    steep = ops.logical_and(is_known, norm > limits[0])
    high = ops.logical_and(has_loss, loss > limits[1])
    spikes = ops.logical_and(ops.logical_or(steep, high), ops.logical_not(is_lost))
    bad = ops.logical_or(is_lost, spikes)
    good = ops.logical_not(bad)

    kept = ops.logical_and(good, is_known)
    place = ops.equal(ops.arange(window, dtype="int32"), ops.mod(counts[SEEN], window))
    place = ops.logical_and(place, kept)
    norms = ops.where(place, norm, norms)
    losses = ops.where(place, loss, losses)
    is_full = ops.logical_and(kept, ops.equal(counts[SEEN], window - 1))
    medians = tensors.choose(
        is_full,
        lambda: ops.stack(
            [ops.sort(norms)[window // 2], ops.sort(losses)[window // 2]]
        ),
        lambda: medians,
    )
    kind = ops.where(is_lost, 1.0, ops.where(steep, 2.0, 3.0))
    row = ops.stack([kind, norm, loss, ops.where(steep, limits[0], limits[1])])
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
        damped = ops.logical_and(spikes, steep)
        safe = ops.where(damped, norm, ops.ones_like(norm))
        factor = ops.where(damped, limits[0] / safe, ops.ones_like(norm))
        applied = ops.logical_or(good, damped)
    if is_scaled:
        # The loss scale is to be lowered.
        applied = ops.logical_or(applied, overflows)
    return [norms, losses, medians, counts, log, places], Verdict(applied, good, factor)


@dataclass
class Guard:
    """What the step of one optimizer remembers, and the copies on the host."""

    leaf: Leaf
    memory: list[Any]
    rate: Any
    multipliers: RateMultipliers | None
    active: bool = True
    has_loss: bool = True

    @property
    def counts(self) -> np.ndarray:
        """`SEEN`, `STREAK`, `BATCHES` and `EVENTS`, on the host."""
        return np.array(self.leaf.read(self.memory[3]))

    def statistics(self) -> list[Any]:
        """Variables that batches change without the optimizer.

        Not those of frozen layers, which may be large.
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
