"""Checks of the arguments of `WeightAveraging`."""

from numbers import Integral, Real
from typing import Any

from keras_deeptools._arguments import checked_float, message


def checked_decay(owner: str, value: Any) -> float | None:
    """None, or a float in [0, 1)."""
    if value is None:
        return None
    remedy = "Give 0.99 to 0.9999, or None for the mean of all weights."
    number = checked_float(owner, "decay", value, at_least=0, remedy=remedy)
    if number >= 1:
        raise ValueError(message(owner, "decay", "in [0, 1) or None", value, remedy))
    return number


def checked_start(owner: str, value: Any) -> int | float:
    """An int >= 0, or a float in [0, 1)."""
    rule = "an epoch, an int >= 0, or a part of all epochs, a float in [0, 1)"
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(message(owner, "start", rule, value))
    if isinstance(value, Integral):
        if value < 0:
            raise ValueError(message(owner, "start", rule, value))
        return int(value)
    if not 0 <= value < 1:
        raise ValueError(message(owner, "start", rule, value))
    return float(value)


def checked_warmup(owner: str, value: Any) -> float | None:
    """None, or a float >= 0."""
    if value is None:
        return None
    return checked_float(owner, "warmup", value, at_least=0)
