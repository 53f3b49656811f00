"""Checks of what users pass to a schedule."""

from collections.abc import Iterable
from numbers import Integral
from typing import Any

from keras_deeptools._arguments import message

LARGEST_COUNT = 2**30
"""Counts stay under it, so that 32-bit sums and differences of two cannot overflow."""


def checked_count(
    owner: str, argument: str, value: Any, *, minimum: int = 1, remedy: str = ""
) -> int:
    """Return `value` as a Python int in [minimum, 2**30), or raise."""
    rule = f"an integer in [{minimum}, 2**30)"
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(message(owner, argument, rule, value, remedy))
    count = int(value)
    if not minimum <= count < LARGEST_COUNT:
        raise ValueError(message(owner, argument, rule, value, remedy))
    return count


def checked_boundaries(owner: str, boundaries: Any, num_parts: int) -> list[int]:
    """Return strictly increasing step counts, one fewer than `num_parts`."""
    rule = "a list of integers >= 1, strictly increasing"
    if isinstance(boundaries, str | bytes) or not isinstance(boundaries, Iterable):
        raise TypeError(message(owner, "boundaries", rule, boundaries))
    steps = [checked_count(owner, "boundaries", step) for step in boundaries]
    if any(late <= early for early, late in zip(steps, steps[1:], strict=False)):
        raise ValueError(message(owner, "boundaries", rule, steps))
    if len(steps) != num_parts - 1:
        raise ValueError(
            message(
                owner,
                "boundaries",
                f"of length {num_parts - 1}, one fewer than the {num_parts} parts",
                steps,
                "Give the first step of every part but the first.",
            )
        )
    return steps
