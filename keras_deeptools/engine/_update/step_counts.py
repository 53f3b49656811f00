"""Counts updates: of variables that began to train late, and of several batches each.

Adam and similar optimizers divide by `1 - beta ** step`, which compensates for averages
that start at zero. Late in training it has no effect, and averages that start then lead
to steps that are several times too long. Here the optimizer's own code sees the
variable's own count, so that unfrozen weights train as in a fresh optimizer.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_deeptools.engine._backends.common import on_host
from keras_deeptools.engine._keras_private.optimizers import (
    ACCUMULATORS,
    ITERATIONS,
    counted_batches,
    momentum_product,
)
from keras_deeptools.engine._patching import Replacement, replaced

STEPS = "gradient_accumulation_steps"
BIRTHS = "_keras_deeptools_births"
of = keras.optimizers
UNCOUNTED = (of.SGD, of.Adagrad, of.Adadelta, of.Ftrl, of.Lion)
"""Optimizers whose update is the same at every step."""


def births_of(leaf: Any) -> dict[int, int]:
    """Updates before each variable began to train: identity -> count, if not 0."""
    return vars(leaf).get(BIRTHS, {})


def set_births(leaf: Any, births: dict[int, int]) -> None:
    """Replaces what `births_of` returns; the optimizer's methods must be wrapped."""
    vars(leaf).pop(BIRTHS, None)
    late = {key: birth for key, birth in births.items() if birth > 0}
    if late and type(leaf) not in UNCOUNTED and not shares_rate(leaf):
        vars(leaf)[BIRTHS] = late


def shares_rate(leaf: Any) -> bool:
    """Whether an optimizer makes one estimate from all weights in each update."""
    return bool(getattr(leaf, "SHARES_RATE", False))


def num_updates(leaf: Any) -> int:
    """Updates that the optimizer has made; on the host, between steps."""
    batches = int(on_host(counted_batches(leaf)))
    return batches // (leaf.gradient_accumulation_steps or 1)


@contextlib.contextmanager
def own_count(leaf: Any, birth: int) -> Iterator[None]:
    """Shows the optimizer a count of updates that begins at `birth`."""
    if not birth:
        yield
        return
    iterations = counted_batches(leaf)
    batches = birth * (leaf.gradient_accumulation_steps or 1)
    with replaced(leaf, ITERATIONS, ops.subtract(iterations, batches)):
        if isinstance(leaf, keras.optimizers.Nadam):
            momentum_product(leaf).assign(_nadam_product(leaf))
        yield


def own_rate(leaf: Any, birth: int, learning_rate: Any) -> Any:
    """The learning rate in `own_count`, lower if fresh steps would be too long."""
    if not birth or not isinstance(leaf, keras.optimizers.RMSprop):
        return learning_rate
    step = ops.cast(leaf.iterations + 1, "float32")
    return learning_rate * ops.sqrt(1 - ops.power(float(leaf.rho), step))


def _nadam_product(leaf: Any) -> Any:
    """What Nadam's `_u_product` is after `leaf.iterations` updates."""
    dtype = momentum_product(leaf).dtype
    factors = np.cumprod(1 - 0.5 * 0.96 ** np.arange(1.0, 500.0))
    table = ops.convert_to_tensor(np.concatenate([[1.0], factors]), dtype)
    place = ops.minimum(ops.cast(leaf.iterations, "int32"), len(factors))
    step = ops.cast(leaf.iterations, dtype)
    return ops.take(table, place) * ops.power(ops.cast(leaf.beta_1, dtype), step)


class ScheduledAccumulation:
    """The number of batches of an update, for an optimizer that was built for one.

    While it is attached, the optimizer has accumulators and its number of steps is an
    int, as if it had been built so; in files and afterwards there is nothing of it. The
    optimizer counts batches, so its count is converted whenever the number changes.

    Args:
        leaf: `Leaf`.
        plan: Function from an epoch to the number of batches of an update.
    """

    name = STEPS
    overrules = False

    def __init__(self, leaf: Any, plan: Callable[[int], int]) -> None:
        self.plan = plan
        self._leaf = leaf
        self._sums = [
            leaf.add_state("gradient_sum", tuple(v.shape), v.dtype, like=v)
            for v in leaf.variables
        ]
        self._held = Replacement(leaf.optimizer, ACCUMULATORS, self._sums)
        self._batches = 0
        self.change(1)

    def change(self, steps: int) -> bool:
        """Makes an update of `steps` batches from now on; whether that is new.

        What an unfinished update has summed is the mean of as many batches as fit into
        the next one.
        """
        leaf = self._leaf
        old = getattr(leaf.optimizer, STEPS)
        if steps == old:
            return False
        updates, begun = self._position()
        kept = min(begun, steps - 1)
        for total in self._sums if kept < begun else ():
            leaf.assign(total, leaf.read(total) * (kept / begun))
        setattr(leaf.optimizer, STEPS, steps)
        leaf.assign(counted_batches(leaf.optimizer), updates * steps + kept)
        return True

    def _position(self) -> tuple[int, int]:
        """Updates made, and batches of the next one that have been seen."""
        batches = int(self._leaf.read(counted_batches(self._leaf.optimizer)))
        return divmod(batches, getattr(self._leaf.optimizer, STEPS) or 1)

    def enter(self) -> None:
        """Does nothing: the number changes between steps."""

    def exit(self) -> None:
        """Does nothing."""

    def hide(self) -> None:
        """Shows an optimizer that updates with each batch."""
        self._hidden = getattr(self._leaf.optimizer, STEPS)
        updates, begun = self._position()
        self._batches = updates * self._hidden + begun
        setattr(self._leaf.optimizer, STEPS, None)
        counted_batches(self._leaf.optimizer).assign(updates)

    def show(self, reloaded: bool) -> None:
        """Undoes `hide`; a count that was loaded meanwhile is that of updates."""
        setattr(self._leaf.optimizer, STEPS, self._hidden)
        batches = self._batches
        if reloaded:
            count = int(on_host(counted_batches(self._leaf.optimizer)))
            batches = count * self._hidden
            for total in self._sums:
                total.assign(np.zeros(total.shape))
        counted_batches(self._leaf.optimizer).assign(batches)

    def detach(self) -> None:
        """Leaves an optimizer that updates with each batch."""
        updates, _ = self._position()
        setattr(self._leaf.optimizer, STEPS, None)
        self._held.undo(force=True)
        self._leaf.assign(counted_batches(self._leaf.optimizer), updates)


def updates_between(leaf: Any, first: int, last: int, steps: int) -> int:
    """Updates that the epochs from `first` to before `last` make.

    Args:
        leaf: `Leaf`; an update of several batches may extend over the end of an epoch.
        first: Int.
        last: Int.
        steps: Int, batches in an epoch.
    """
    item = leaf.scheduled.get(STEPS)
    if item is None:
        return (last - first) * steps // leaf.accumulation_steps
    updates = begun = 0
    for epoch in range(first, last):
        together = item.plan(epoch)
        made, begun = divmod(min(begun, together - 1) + steps, together)
        updates += made
    return updates
