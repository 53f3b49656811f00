"""Telling whether a schedule of fixed length has ended with the training."""

import warnings
from collections.abc import Callable, Iterable
from typing import Any

from keras_deeptools.engine import Leaf

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
