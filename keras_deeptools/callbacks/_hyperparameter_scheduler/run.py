"""The run that schedules follow: its position in updates, its values, and warnings."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine import Leaf
from keras_deeptools.engine._update.step_counts import updates_between
from keras_deeptools.engine._update.train_step import running_fit
from keras_deeptools.schedules._schedule import Schedule

TOLERANCE = 0.05
"""Fraction by which training may be longer or shorter than its cycle."""


def params_of(model: Any, params: dict[str, Any] | None) -> dict[str, Any]:
    """The parameters of the run, as Keras gives them to callbacks or as `fit` has them.

    Callbacks get no parameters if the user has made their `CallbackList`.

    Args:
        model: `keras.Model` that trains.
        params: Dict that the callback was given, or None.

    Returns:
        Dict, with `epochs` and `steps` per epoch if they are known.
    """
    if params and "epochs" in params:
        return params
    run = running_fit(model)
    return (run.params if run else {}) | (params or {})


def updates_in_run(
    leaf: Leaf, params: dict[str, Any], first_epoch: int = 0
) -> int | None:
    """Number of updates that a whole `fit` makes, from its first epoch to its last.

    Args:
        leaf: `Leaf` of the optimizer; gradient accumulation makes an update of
            several batches, also across the ends of epochs.
        params: Dict that Keras gives callbacks: `epochs` and `steps` per epoch.
        first_epoch: Int >= 0. The epoch to count from.

    Returns:
        Int >= 1, or None when the number of batches per epoch is unknown.
    """
    if not params or params.get("steps") is None or params.get("epochs") is None:
        return None
    return max(updates_between(leaf, first_epoch, params["epochs"], params["steps"]), 1)


def first_update(leaf: Leaf, params: dict[str, Any], epoch: int) -> int:
    """The optimizer's count of updates at which a run started.

    The position in a run follows the epoch, so that a run that is resumed (by
    `initial_epoch` or `BackupAndRestore`) continues where it was, and another `fit`
    starts again from 0, whatever the optimizer has counted so far.

    Args:
        leaf: `Leaf` of the optimizer.
        params: Dict that Keras gives callbacks: `epochs` and `steps` per epoch.
        epoch: Int >= 0. The epoch that begins now, counted from the first of the run.

    Returns:
        Int; negative when the optimizer has counted fewer updates than the run.
    """
    steps = params.get("steps") if params else None
    if steps is None:
        return leaf.num_updates if epoch == 0 else 0
    return leaf.num_updates - updates_between(leaf, 0, epoch, steps)


def run_start(leaf: Leaf, live: Iterable[tuple[Leaf, dict[str, Any]]]) -> int:
    """The count at which the run began, also for an optimizer that starts in mid-run.

    Args:
        leaf: `Leaf` of the optimizer whose updates are counted.
        live: Pairs of a `Leaf` that is scheduled already, and the state that a
            scheduler keeps for it.
    """
    for other, state in live:
        if other.root is leaf.root and not state["idle"]:
            position = other.num_updates - int(other.read(state["offset"]))
            return leaf.num_updates - position
    return leaf.num_updates


BLOCK = 256


class Lookahead:
    """Looks up the values of a schedule when the host knows the step.

    Args:
        schedule: `Schedule`, or any function of an int, which is called at every step.
    """

    def __init__(self, schedule: Callable) -> None:
        self._schedule = schedule
        self._start = 0
        self._values: list[float] = []

    def __call__(self, position: int) -> float:
        """The value at `position`."""
        if not isinstance(self._schedule, Schedule):
            return self._schedule(position)
        index = position - self._start
        if not 0 <= index < len(self._values):
            self._start, index = position, 0
            steps = np.arange(position, position + BLOCK)
            self._values = self._schedule.values(steps).tolist()
        return self._values[index]


def cycle_length(schedules: dict[str, Callable]) -> int | None:
    """Steps of the longest schedule that has its own end, as 1cycle has.

    Args:
        schedules: Dict from names to schedules.
    """
    ends = [getattr(schedule, "total_steps", None) for schedule in schedules.values()]
    return max((end for end in ends if isinstance(end, int)), default=None)


def tell_cycle_ends(
    owner: str,
    live: Iterable[tuple[Leaf, dict[str, Any]]],
    planned_for: Callable[[Leaf], int | None],
    name_of: Callable[[Leaf], str],
) -> None:
    """Checks the cycle of each optimizer, see `tell_cycle_end`.

    Args:
        owner: Str. Name of the caller, for the message.
        live: Pairs of a `Leaf` and the state that a scheduler keeps for it.
        planned_for: Function that returns the number of updates of the run if each
            batch makes one update, or None.
        name_of: Function that returns the model's name of an optimizer.
    """
    told: set[int] = set()
    for leaf, state in live:
        total_steps = state["total_steps"]
        if total_steps is None or id(leaf.root) in told:
            continue
        told.add(id(leaf.root))
        made = leaf.num_updates - int(leaf.read(state["offset"]))
        if leaf.skipped is not None:
            made += int(leaf.read(leaf.skipped))
        if made > 0:
            where = f"`{name_of(leaf)}`"
            tell_cycle_end(owner, total_steps, made, planned_for(leaf), where)


def tell_cycle_end(
    owner: str, total_steps: int, made: int, planned: int | None, where: str
) -> None:
    """Warns if a complete run made another number of updates than the cycle has.

    A cycle that is longer than the run continues in the next `fit` (`initial_epoch`);
    there is a warning only if the train step itself makes fewer updates than expected.

    Args:
        owner: Str. Name of the caller, for the message.
        total_steps: Int > 0. Updates in the cycle.
        made: Int. Updates made since it began.
        planned: Int or None. Number of updates of the run if each batch makes one
            update, divided by `gradient_accumulation_steps`; None if not known.
        where: Str. The optimizer, for the message.
    """
    if made > total_steps * (1 + TOLERANCE):
        what = f"ended early, and its last values were held for {made - total_steps}"
    elif (
        planned is not None
        and made < total_steps * (1 - TOLERANCE)
        and made < planned * (1 - TOLERANCE)
    ):
        what = "did not reach its end"
    else:
        return
    expected = ""
    if planned is not None and made != planned:
        expected = f" (one for each batch would be {planned})"
    warnings.warn(
        f"{owner}: {where} has made {made} updates{expected}, but the cycle has "
        f"total_steps={total_steps}: it {what}. Pass `total_steps={made}`.",
        stacklevel=4,
    )


def tell_held_values(
    owner: str, expected: int, made: int, names: Iterable[str]
) -> None:
    """Warns if more updates were made than values had been computed for.

    Args:
        owner: Str. Name of the caller, for the message.
        expected: Int. Updates for which there were values.
        made: Int. Updates made.
        names: Names of the scheduled hyperparameters.
    """
    warnings.warn(
        f"{owner}: the run was expected to make {expected} updates and made {made}. "
        f"From update {expected} on, the last values of {', '.join(sorted(names))} "
        f"were held. Pass `total_steps={made}`.",
        stacklevel=3,
    )


def set_by_epoch(model: Any) -> keras.callbacks.Callback | None:
    """Keras' LearningRateScheduler in the running `fit`; it assigns every epoch."""
    return _beside(model, keras.callbacks.LearningRateScheduler)


def reduced_on_plateau(model: Any) -> keras.callbacks.Callback | None:
    """Keras' ReduceLROnPlateau in the running `fit`."""
    return _beside(model, keras.callbacks.ReduceLROnPlateau)


def _beside(model: Any, kind: type) -> keras.callbacks.Callback | None:
    run = running_fit(model)
    callbacks = run.callbacks if run else []
    return next((each for each in callbacks if isinstance(each, kind)), None)


def tell_overruled(owner: str, other: keras.callbacks.Callback) -> None:
    """Warns that the learning rate a callback assigns each epoch has no effect."""
    name = type(other).__name__
    warnings.warn(
        f"{owner}: {name} sets the learning rate in the same `fit`, once an epoch. "
        f"{owner} wins: its values are used at every update, and what {name} sets has "
        "no effect. Leave out one of the two.",
        stacklevel=3,
    )


def tell_multiplied(owner: str) -> None:
    """Warns that reductions multiply a cycle that rises and falls by itself."""
    warnings.warn(
        f"{owner}: ReduceLROnPlateau sets the learning rate in the same `fit`. Neither "
        "wins: each of its reductions multiplies the rest of the cycle, which needs "
        "none, as it ends with a small learning rate. Leave out one of the two.",
        stacklevel=3,
    )


def tell_factor(owner: str, factor: float) -> None:
    """Warns that an unknown callback has assigned a learning rate."""
    warnings.warn(
        f"{owner}: something else, such as another callback, has assigned to "
        f"`optimizer.learning_rate` during training. {owner} goes on, with its values "
        f"multiplied by {factor:.3g}, which is what was assigned over what was in "
        "effect. Leave out one of the two.",
        stacklevel=3,
    )


def tell_replaced(owner: str, leaf: Leaf) -> None:
    """Warns if the optimizer was built with a schedule for its learning rate."""
    optimizer = leaf.optimizer
    if isinstance(optimizer.learning_rate, keras.Variable):
        return
    warnings.warn(
        f"{owner}: {type(optimizer).__name__} was built with a schedule of its own as "
        f"learning rate. {owner} wins: its values are used during this training, and "
        "the optimizer's schedule again afterwards. Compile with a number to have one "
        "schedule alone.",
        stacklevel=3,
    )


class ScheduledValues:
    """Reads the record of one optimizer of a model.

    Args:
        prefix: Str. Prefix of the names, which distinguishes optimizers.
        names: List of str, the hyperparameters.
        state: Dict with the `"recorder"` to read.
        root: The outermost optimizer.
    """

    def __init__(
        self, prefix: str, names: list[str], state: dict[str, Any], root: Any
    ) -> None:
        self.names = [f"{prefix}{name}" for name in names]
        self.state: dict[str, Any] | None = state
        self.root = root
        self._steps: list[np.ndarray] = []
        self._rows: list[np.ndarray] = []

    def read(self) -> None:
        """Reads new values from the device."""
        if self.state is None:
            return
        steps, rows = self.state["recorder"].read()
        if len(steps):
            self._steps.append(steps)
            self._rows.append(rows)

    def end(self) -> None:
        """Reads the rest of the record before it is removed."""
        self.read()
        self.state = self.root = None

    @property
    def steps(self) -> np.ndarray:
        """Int64 array `(n,)`."""
        return np.concatenate([np.zeros(0, "int64"), *self._steps])

    @property
    def history(self) -> dict[str, np.ndarray]:
        """Dict from name to a float32 array `(n,)`."""
        rows = np.concatenate([np.zeros((0, len(self.names)), "f4"), *self._rows])
        return {name: rows[:, i] for i, name in enumerate(self.names)}

    @property
    def last(self) -> dict[str, float]:
        """Dict from name to the latest value; empty before the first update."""
        if not self._rows:
            return {}
        return dict(zip(self.names, map(float, self._rows[-1][-1]), strict=True))

    def __getstate__(self) -> dict[str, Any]:
        """Leaves out what belongs to a running `fit`."""
        return self.__dict__ | {"state": None, "root": None}


def draw_values(ax: Any, recorded: Sequence[ScheduledValues]) -> None:
    """Draws values over the updates, one curve per hyperparameter.

    Args:
        ax: Matplotlib axes for the first curve; each other curve gets its own scale.
        recorded: `ScheduledValues` of each optimizer.
    """
    ax.set_xlabel("step (optimizer update)")
    curves = [
        (name, each.steps, values)
        for each in recorded
        for name, values in each.history.items()
    ]
    for i, (name, steps, values) in enumerate(curves):
        axes = ax if i == 0 else ax.twinx()
        if i > 1:
            axes.spines["right"].set_position(("axes", 1 + 0.15 * (i - 1)))
        axes.plot(steps, values, color=f"C{i}")
        axes.set_ylabel(name.replace("_", " "), color=f"C{i}")
