"""Checks of what users pass to an initializer."""

import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any


def checked_gain(owner: str, value: Any) -> float:
    """Return `value` as a finite float > 0, or raise."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(message(owner, "gain", "a finite float > 0", value))
    if not math.isfinite(value) or value <= 0:
        remedy = "Give what `gain(activation)` returns."
        raise ValueError(message(owner, "gain", "a finite float > 0", value, remedy))
    return float(value)


def checked_count(owner: str, argument: str, value: Any) -> int:
    """Return `value` as a Python int >= 1, or raise."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(message(owner, argument, "an integer >= 1", value))
    if value < 1:
        raise ValueError(message(owner, argument, "an integer >= 1", value))
    return int(value)


def checked_strides(owner: str, value: Any) -> int | tuple[int, ...]:
    """Return one int >= 1, or a tuple of them, or raise."""
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return tuple(checked_count(owner, "strides", item) for item in value)
    return checked_count(owner, "strides", value)


def checked_axes(owner: str, argument: str, value: Any) -> tuple[int, ...] | None:
    """Return a tuple of ints, or None where it is None, or raise."""
    if value is None:
        return None
    integers = isinstance(value, list | tuple) and all(
        isinstance(axis, Integral) and not isinstance(axis, bool) for axis in value
    )
    if not integers:
        raise TypeError(message(owner, argument, "None or a list of integers", value))
    return tuple(int(axis) for axis in value)


def checked_option(
    owner: str, argument: str, value: Any, options: Iterable[str]
) -> str:
    """Return `value` if it is one of `options`, or raise."""
    if not isinstance(value, str) or value not in options:
        rule = "one of " + ", ".join(map(repr, options))
        raise ValueError(message(owner, argument, rule, value))
    return value


def checked_seed(owner: str, value: Any) -> int | None:
    """Return a seed: None or an int >= 0, or raise."""
    rule = "None or an integer >= 0"
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Integral):
        remedy = "Each call of one initializer draws anew, so an integer is enough."
        raise TypeError(message(owner, "seed", rule, value, remedy))
    if value < 0:
        raise ValueError(message(owner, "seed", rule, value))
    return int(value)


def checked_bool(owner: str, argument: str, value: Any) -> bool:
    """Return `value` if it is True or False, or raise."""
    if not isinstance(value, bool):
        raise TypeError(message(owner, argument, "True or False", value))
    return value


def message(owner: str, argument: str, rule: str, value: Any, remedy: str = "") -> str:
    """Write an error in the one form that the package uses."""
    text = f"{owner}: `{argument}` must be {rule}. Received: {argument}={value!r}."
    return f"{text} {remedy}".rstrip()
