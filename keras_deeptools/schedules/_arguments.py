"""Checks of what users pass to a schedule."""

import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

LARGEST_COUNT = 2**30
"""Counts stay under it, so that 32-bit sums and differences of two cannot overflow."""


def checked_float(
    owner: str,
    argument: str,
    value: Any,
    *,
    above: float | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
    remedy: str = "",
) -> float:
    """Return `value` as a finite Python float within its limits, or raise."""
    limits = [
        f"{sign} {limit:g}"
        for sign, limit in ((">", above), (">=", at_least), ("<=", at_most))
        if limit is not None
    ]
    rule = " ".join(["a finite float", " and ".join(limits)]).strip()
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(message(owner, argument, rule, value, remedy))
    number = float(value)
    if (
        not math.isfinite(number)
        or (above is not None and number <= above)
        or (at_least is not None and number < at_least)
        or (at_most is not None and number > at_most)
    ):
        raise ValueError(message(owner, argument, rule, value, remedy))
    return number


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


def checked_option(
    owner: str, argument: str, value: Any, options: tuple[str, ...]
) -> str:
    """Return `value` if it is one of `options`, or raise."""
    if not isinstance(value, str) or value not in options:
        rule = "one of " + ", ".join(map(repr, options))
        raise ValueError(message(owner, argument, rule, value))
    return value


def checked_bool(owner: str, argument: str, value: Any) -> bool:
    """Return `value` if it is True or False, or raise."""
    if not isinstance(value, bool):
        raise TypeError(message(owner, argument, "True or False", value))
    return value


def message(owner: str, argument: str, rule: str, value: Any, remedy: str = "") -> str:
    """Write an error in the one form that the package uses."""
    text = f"{owner}: `{argument}` must be {rule}. Received: {argument}={value!r}."
    return f"{text} {remedy}".rstrip()
