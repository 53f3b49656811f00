"""Checks of what users pass to an initializer."""

from collections.abc import Iterable
from numbers import Integral
from typing import Any

from keras_deeptools import _arguments
from keras_deeptools._arguments import checked_count, checked_float, message


def checked_gain(owner: str, value: Any) -> float:
    """Return `value` as a finite float > 0, or raise."""
    remedy = "Give what `gain(activation)` returns."
    return checked_float(owner, "gain", value, above=0, remedy=remedy)


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


def checked_seed(owner: str, value: Any) -> int | None:
    """Return a seed: None or an int >= 0, or raise."""
    remedy = "Each call of one initializer draws anew, so an integer is enough."
    return _arguments.checked_seed(owner, value, remedy)
