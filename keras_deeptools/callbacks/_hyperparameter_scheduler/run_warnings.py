"""What a schedule warns of: cycles that do not end, others that set the same rate."""

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import keras

from keras_deeptools.engine import Leaf
from keras_deeptools.engine._update.train_step import running_fit

TOLERANCE = 0.05


"""Part of the steps by which a training may be longer or shorter than its cycle."""


def cycle_length(schedules: dict[str, Callable]) -> int | None:
    """Steps of the longest schedule that has an end of its own, as 1cycle has.

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
    """Looks at the cycle of each optimizer, see `tell_cycle_end`.

    Args:
        owner: Str. Who is named.
        live: Pairs of a `Leaf` and what a scheduler keeps for it.
        planned_for: Function that returns the updates that the run makes with one for
            each batch, or None.
        name_of: Function that returns what the model calls an optimizer.
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
    """Warns where a whole training made another number of updates than the cycle has.

    A cycle that is longer than the run goes on in the next `fit` (`initial_epoch`);
    only where the train step itself makes fewer updates than expected it is told.

    Args:
        owner: Str. Who is named.
        total_steps: Int > 0. Updates in the cycle.
        made: Int. Updates made since it began.
        planned: Int or None. What the run makes with one update for each batch, over
            `gradient_accumulation_steps`; None where that is not known.
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
    """Warns where more updates were made than values had been computed for.

    Args:
        owner: Str. Who is named.
        expected: Int. Updates for which there were values.
        made: Int. Updates made.
        names: What was scheduled.
    """
    warnings.warn(
        f"{owner}: the run was expected to make {expected} updates and made {made}. "
        f"From update {expected} on, the last values of {', '.join(sorted(names))} "
        f"were held. Pass `total_steps={made}`.",
        stacklevel=3,
    )


def set_by_epoch(model: Any) -> keras.callbacks.Callback | None:
    """Keras' LearningRateScheduler in the running `fit`, which assigns every epoch."""
    return _beside(model, keras.callbacks.LearningRateScheduler)


def reduced_on_plateau(model: Any) -> keras.callbacks.Callback | None:
    """Keras' ReduceLROnPlateau in the running `fit`."""
    return _beside(model, keras.callbacks.ReduceLROnPlateau)


def _beside(model: Any, kind: type) -> keras.callbacks.Callback | None:
    run = running_fit(model)
    callbacks = run.callbacks if run else []
    return next((each for each in callbacks if isinstance(each, kind)), None)


def tell_overruled(owner: str, other: keras.callbacks.Callback) -> None:
    """Warns that what a callback assigns at each epoch has no effect."""
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
    """Warns that a callback that cannot be seen has assigned a learning rate."""
    warnings.warn(
        f"{owner}: something else, such as another callback, has assigned to "
        f"`optimizer.learning_rate` during training. {owner} goes on, with its values "
        f"multiplied by {factor:.3g}, which is what was assigned over what was in "
        "effect. Leave out one of the two.",
        stacklevel=3,
    )


def tell_replaced(owner: str, leaf: Leaf) -> None:
    """Warns where the optimizer was built with a schedule for its learning rate."""
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
