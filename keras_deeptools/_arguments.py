"""Checks of what users pass, with errors in the one form that the package uses."""

import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any


def message(owner: str, argument: str, rule: str, value: Any, remedy: str = "") -> str:
    """Write an error: owner, argument, rule, value and remedy."""
    text = f"{owner}: `{argument}` must be {rule}. Received: {argument}={value!r}."
    return f"{text} {remedy}".rstrip()


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
    owner: str, argument: str, value: Any, minimum: int = 1, *, remedy: str = ""
) -> int:
    """Return `value` as a Python int >= `minimum`, or raise."""
    rule = f"an integer >= {minimum}"
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(message(owner, argument, rule, value, remedy))
    if value < minimum:
        raise ValueError(message(owner, argument, rule, value, remedy))
    return int(value)


def checked_option(
    owner: str, argument: str, value: Any, options: Iterable[str]
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


def checked_seed(owner: str, value: Any, remedy: str = "") -> int | None:
    """Return a seed: None or an int >= 0, or raise."""
    rule = "None or an integer >= 0"
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(message(owner, "seed", rule, value, remedy))
    if value < 0:
        raise ValueError(message(owner, "seed", rule, value))
    return int(value)
