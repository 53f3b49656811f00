"""Telling whether a schedule of fixed length has ended with the training."""

import warnings

TOLERANCE = 0.05
"""Part of the steps by which a training may be longer or shorter than its cycle."""


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
        expected = f", {planned} with one for each batch"
    warnings.warn(
        f"{owner}: {where} has made {made} updates{expected}, but the cycle has "
        f"total_steps={total_steps}: it {what}. Pass `total_steps={made}`.",
        stacklevel=4,
    )
