"""Where a `fit` stands, counted in optimizer updates."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from keras_deeptools.engine import Leaf
from keras_deeptools.engine._update.train_step import running_fit
from keras_deeptools.schedules._schedule import Schedule


def params_of(model: Any, params: dict[str, Any] | None) -> dict[str, Any]:
    """What is known of the run: what Keras tells callbacks, or what `fit` itself knows.

    Callbacks are told nothing where the user has made their `CallbackList`.

    Args:
        model: `keras.Model` that trains.
        params: What the callback was told, or None.

    Returns:
        Dict, with `epochs` and `steps` per epoch where they are known.
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
        params: What Keras tells callbacks: `epochs` and `steps` per epoch.
        first_epoch: Int >= 0. The epoch to count from.

    Returns:
        Int >= 1, or None when the number of batches per epoch is unknown.
    """
    if not params or params.get("steps") is None or params.get("epochs") is None:
        return None
    num_epochs = params["epochs"] - first_epoch
    return max(num_epochs * params["steps"] // leaf.accumulation_steps, 1)


def first_update(leaf: Leaf, params: dict[str, Any], epoch: int) -> int:
    """The optimizer's count of updates at which a run started.

    The position in a run follows the epoch, so that a run that is resumed (by
    `initial_epoch` or `BackupAndRestore`) goes on where it was, and another `fit`
    begins anew, whatever the optimizer has counted so far.

    Args:
        leaf: `Leaf` of the optimizer.
        params: What Keras tells callbacks: `epochs` and `steps` per epoch.
        epoch: Int >= 0. The epoch that begins now, counted from the first of the run.

    Returns:
        Int; negative when the optimizer has counted fewer updates than the run.
    """
    steps = params.get("steps") if params else None
    if steps is None:
        return leaf.num_updates if epoch == 0 else 0
    return leaf.num_updates - epoch * steps // leaf.accumulation_steps


def run_start(leaf: Leaf, live: Iterable[tuple[Leaf, dict[str, Any]]]) -> int:
    """The count at which the run began, also for what begins to train in mid-run.

    Args:
        leaf: `Leaf` of the optimizer whose updates are counted.
        live: Pairs of a `Leaf` that is acted on already, and what a scheduler keeps
            for it.
    """
    for other, state in live:
        if other.root is leaf.root and not state["idle"]:
            position = other.num_updates - int(other.read(state["offset"]))
            return leaf.num_updates - position
    return leaf.num_updates


BLOCK = 256


class Lookahead:
    """Looks a schedule's values up where the host knows the step.

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
