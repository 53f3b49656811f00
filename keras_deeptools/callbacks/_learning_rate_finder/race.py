"""Short trainings with several peaks of one schedule, then longer ones with fewer."""

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_deeptools._arguments import (
    checked_count,
    checked_option,
    did_you_mean,
    message,
)
from keras_deeptools.callbacks._one_cycle_scheduler import momentum_name
from keras_deeptools.engine import Feature, Leaf, Snapshot, attach
from keras_deeptools.engine._data.batch_loss import batch_logs, train_by_batch
from keras_deeptools.engine._update.leaf import optimized_variables
from keras_deeptools.engine._update.model_optimizers import model_optimizers
from keras_deeptools.schedules import (
    Constant,
    FlatCosine,
    OneCycle,
    OneCycleMomentum,
    Schedule,
    WarmupStableDecay,
)

POINTS = 1000
"""At so many steps the shape of a schedule is computed."""

SCHEDULES = ("constant", "cosine", "one_cycle", "warmup_stable_decay")


class Shape(NamedTuple):
    """A schedule without its peak and its length.

    Attributes:
        name: Str.
        rates: Float array `(POINTS + 1,)`, the learning rates over the peak.
        momenta: The momenta, or None where the schedule leaves the optimizer's own.
    """

    name: str
    rates: np.ndarray
    momenta: np.ndarray | None = None

    @property
    def falls(self) -> bool:
        """Whether it ends with less than a tenth of its peak."""
        return bool(self.rates[-1] < 0.1)


def shape_of(owner: str, schedule: Any) -> Shape:
    """The shape of a schedule that is given by its name, or as an object.

    Raises:
        TypeError: If it is neither a str nor a schedule of `keras_deeptools.schedules`.
        ValueError: If the name is unknown, or the schedule has no end or no peak.
    """
    steps = np.arange(POINTS + 1)
    if isinstance(schedule, Schedule):
        last = schedule.last_step
        remedy = "Pass a name, or a schedule with a `total_steps`."
        if not last:
            rule = "a schedule with an end"
            raise ValueError(message(owner, "schedule", rule, schedule, remedy))
        at = np.round(steps * last / POINTS).astype("int64")
        rates = schedule.values(at)
        if not rates.max() > 0:
            rule = "a schedule with a value > 0"
            raise ValueError(message(owner, "schedule", rule, schedule, remedy))
        return Shape(type(schedule).__name__, rates / rates.max())
    rule = f"one of {', '.join(map(repr, SCHEDULES))}, or a schedule"
    if not isinstance(schedule, str):
        raise TypeError(message(owner, "schedule", rule, schedule))
    if schedule == "one_cycle":
        momenta = OneCycleMomentum(POINTS + 1).values(steps)
        return Shape(schedule, OneCycle(1.0, POINTS + 1).values(steps), momenta)
    made: dict[str, Callable[[], Schedule]] = {
        "constant": lambda: Constant(1.0),
        "cosine": lambda: FlatCosine(1.0, POINTS, flat_fraction=0.0),
        "warmup_stable_decay": lambda: WarmupStableDecay(
            1.0, POINTS, num_warmup_steps=POINTS // 10, num_decay_steps=POINTS // 5
        ),
    }
    if schedule not in made:
        remedy = did_you_mean(schedule, SCHEDULES)
        raise ValueError(message(owner, "schedule", rule, schedule, remedy))
    return Shape(schedule, made[schedule]().values(steps))


def checked_race(
    owner: str, schedule: Any, method: Any, max_updates: Any
) -> tuple[Shape, int]:
    """The shape of the schedule and the number of updates, or an error."""
    checked_option(owner, "method", method, ("ramp", "race"))
    if max_updates is None:
        max_updates = MAX_UPDATES
    elif method == "ramp":
        rule = "None where `method` is 'ramp'"
        remedy = "Its number of updates is `num_steps`."
        raise ValueError(message(owner, "max_updates", rule, max_updates, remedy))
    budget = checked_count(owner, "max_updates", max_updates, 50, below=2**30)
    return shape_of(owner, "constant" if schedule is None else schedule), budget


@contextlib.contextmanager
def built_optimizers(model: keras.Model, before: Snapshot) -> Iterator[None]:
    """Restores a model, but for the optimizers that training has built.

    Their variables are then new, and not those of the training.

    Args:
        model: `keras.Model`, which has been trained. Wrap the block in `preserved`.
        before: Of the model before that training.
    """
    built = [
        (each.optimizer, optimized_variables(each.optimizer))
        for each in model_optimizers(model)
    ]
    before.restore()
    for optimizer, variables in built:
        if variables and not optimizer.built:
            optimizer.build(variables)
    yield


class Compressed(Feature):
    """A schedule whose peak and length are variables, and which ends with 0.

    One compiled step serves all peaks and lengths. Weights rest after the end: the loss
    of a further batch is then that of samples which have not been trained on.

    Args:
        shape: `Shape`.
    """

    overrules = True

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._states: list[tuple[Leaf, Any, Any, Any]] = []

    def prepare(self, leaf: Leaf) -> tuple[Any, Any, Any]:
        """Makes the variables: the peak, the length, and the first step."""
        state = (
            leaf.add_state("peak"),
            leaf.add_state("length", initial=1.0),
            leaf.add_state("first_step", dtype="int32"),
        )
        self._states.append((leaf, *state))
        return state

    def hyperparameters(self, state: Any, leaf: Leaf) -> dict[str, Callable]:
        """The learning rate, and a momentum that would move weights after the end."""
        peak, length, first = state

        def until_end(table: np.ndarray, scale: Any, step: Any) -> Any:
            made = ops.cast(step, "int32") - ops.convert_to_tensor(first)
            done = ops.cast(made, "float32") / ops.convert_to_tensor(length)
            index = ops.cast(ops.clip(ops.round(done * POINTS), 0, POINTS), "int32")
            values = ops.convert_to_tensor(table.astype("float32"))
            return ops.where(done < 1.0, ops.take(values, index) * scale, 0.0)

        found = {
            "learning_rate": lambda step: until_end(
                self._shape.rates, ops.convert_to_tensor(peak), step
            )
        }
        name, momenta = momentum_name(leaf.optimizer), self._shape.momenta
        if name is not None and momenta is None:
            own = getattr(leaf.optimizer, name)
            momenta = np.full(POINTS + 1, own) if own else None
        if name is not None and momenta is not None:
            found[name] = lambda step: until_end(momenta, 1.0, step)
        return found

    def begin(self, peak: float, length: int) -> None:
        """Begins the schedule with the next update."""
        for leaf, *variables in self._states:
            values = (peak, length, leaf.num_updates)
            for variable, value in zip(variables, values, strict=True):
                leaf.assign(variable, value)

    @property
    def num_updates(self) -> int:
        """Updates since `begin`."""
        made = [
            leaf.num_updates - int(leaf.read(first)) for leaf, *_, first in self._states
        ]
        return max(made, default=0)


class Heat(NamedTuple):
    """One short training of a race.

    Attributes:
        rung: Int, from 0.
        learning_rate: Float, the peak of the schedule.
        num_updates: Int.
        loss: Float, in the last rung of held-out batches at the end; before, and where
            there are too few batches to hold some out, of the last quarter of the
            batches that were trained on. Infinite if it is not finite.
    """

    rung: int
    learning_rate: float
    num_updates: int
    loss: float


def narrowed(
    train: Callable[[float, int, bool], float],
    candidates: Sequence[float],
    lengths: Sequence[int],
) -> list[Heat]:
    """Trains with all candidates, then longer with the best and the two below it.

    The shorter a training, the larger is its best learning rate: more trainings would
    not find what is above.

    Args:
        train: Function from a learning rate, a number of updates, and whether they are
            those of the last rung, to a loss.
        candidates: Learning rates, increasing.
        lengths: Ints, the updates of the trainings in each rung.
    """
    heats: list[Heat] = []
    left = list(candidates)
    for rung, length in enumerate(lengths):
        is_last = rung == len(lengths) - 1
        found = [
            Heat(rung, rate, length, train(rate, length, is_last)) for rate in left
        ]
        heats += found
        best = min(range(len(left)), key=lambda place: found[place].loss)
        left = left[max(best - NUM_BELOW, 0) : best + 1]
    return heats


MAX_UPDATES = 200
RAMP_PERCENT = 30
"""Of the updates, at most; the rest is for the short trainings."""

MOST_BATCHES = 1000
"""Batches for an update, after which a training has failed: skipped updates."""

NUM_HELD_OUT = 4
"""The most batches that are held out, unless they are small."""

LEAST_BATCHES = 6
"""With fewer batches than this, none is held out."""

MOST_BYTES = 2**27
"""Of the batches that are kept in memory."""

NUM_BELOW = 2
"""Learning rates below the best one that go on with it."""

NEAR = 0.3
"""A smaller learning rate wins whose loss is larger by this fraction at most."""

SHARES = (1, 6)
"""Updates of the trainings in each rung, in proportion. The longer the last ones are,
the nearer is their best peak to that of a whole training."""


class Race:
    """Short trainings of a model from the state in which it is.

    Args:
        model: `keras.Model`, with its optimizers built. Wrap the race in `preserved`.
        optimizers: List of the optimizers whose learning rate is to be found.
        shape: `Shape`.
        kept: List of the batches to draw from, see `Batches.taken`.
        loss_name: Str, the name of the loss among the logs of `train_step`.
        show: Function of the number of updates so far, a learning rate and a loss.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizers: list[Any],
        shape: Shape,
        kept: list[Any],
        loss_name: str,
        show: Callable[[int, float, float], None],
    ) -> None:
        self._trained = model
        self._optimizers = optimizers
        self._feature = Compressed(shape)
        num_held = min(NUM_HELD_OUT, len(kept) // 4)
        self.num_held = num_held if len(kept) >= LEAST_BATCHES else 0
        self._held, self._kept = kept[: self.num_held], kept[self.num_held :]
        self._loss_name = loss_name
        self._show = show
        self._num_updates = 0

    def run(self, candidates: Sequence[float], num_updates: int) -> list[Heat]:
        """The trainings with these learning rates, in so many updates in all."""
        lengths = lengths_of(len(candidates), num_updates)
        with attach(self._trained, self._feature, optimizer=self._optimizers):
            train_by_batch(self._trained)
            self._snapshot = Snapshot(self._trained)
            return narrowed(self._train, candidates, lengths)

    def _train(self, learning_rate: float, length: int, is_last: bool) -> float:
        self._feature.begin(learning_rate, length)
        losses: list[float] = []
        endless = itertools.cycle(self._kept)
        try:
            while self._feature.num_updates < length:
                losses.append(self._loss(next(endless)))
                if not math.isfinite(losses[-1]) or len(losses) > MOST_BATCHES * length:
                    return math.inf
            losses = losses[-max(len(losses) // 4, 1) :]
            held = [self._loss(batch) for batch in self._held if is_last]
        finally:
            self._snapshot.restore()
        found = float(np.mean(held or losses))
        found = found if math.isfinite(found) else math.inf
        self._num_updates += length
        self._show(self._num_updates, learning_rate, found)
        return found

    def _loss(self, batch: Any) -> float:
        return batch_logs(self._trained, batch).get(self._loss_name, math.nan)


OFFSETS = (-1.25, -0.75, -0.25, 0.25)
"""Decades from the learning rate of the lowest loss to those that race."""


def candidates_of(range_test: Any) -> list[float]:
    """The learning rates that race, after a range test."""
    lowest = range_test.lowest
    if math.isnan(lowest):
        finite = range_test.learning_rates[np.isfinite(range_test.losses)]
        highest = float(finite[-1]) if len(finite) else 1.0
        return [float(rate) for rate in np.geomspace(1e-3 * highest, highest, 4)]
    return [float(lowest * 10**offset) for offset in OFFSETS]


def winner_of(heats: Sequence[Heat]) -> float:
    """The learning rate that is suggested; NaN where no training was finite."""
    last = [heat for heat in heats if heat.rung == heats[-1].rung]
    lowest = min(heat.loss for heat in last)
    if not math.isfinite(lowest):
        return math.nan
    near = [heat for heat in last if heat.loss <= lowest + NEAR * abs(lowest)]
    return min(heat.learning_rate for heat in near)


def lengths_of(num_candidates: int, num_updates: int) -> list[int]:
    """Updates of each training in each rung, for so many in all."""
    sizes = (num_candidates, min(num_candidates, NUM_BELOW + 1))
    total = sum(size * share for size, share in zip(sizes, SHARES, strict=True))
    return [max(num_updates * share // total, 1) for share in SHARES]
