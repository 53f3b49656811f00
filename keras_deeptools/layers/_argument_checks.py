"""Checks of what users pass to a layer."""

from collections.abc import Sequence
from numbers import Real
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import message


def checked_rate(owner: str, rate: Any) -> float:
    """Return `rate` as a float in [0, 1), or raise."""
    return checked_number(
        owner,
        "rate",
        rate,
        "in [0, 1)",
        lambda number: 0 <= number < 1,
        "Give the fraction of units to drop, such as 0.1.",
    )


def checked_number(
    owner: str, argument: str, value: Any, rule: str, holds: Any, remedy: str = ""
) -> float:
    """Return `value` as a float for which `holds` is true, or raise."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(message(owner, argument, f"a number {rule}", value, remedy))
    number = float(value)
    if not holds(number):
        raise ValueError(message(owner, argument, rule, value, remedy))
    return number


def checked_layers(owner: str, argument: str, value: Any) -> list[keras.Layer]:
    """Return one layer or a sequence of layers as a list, or raise."""
    layers = list(value) if isinstance(value, Sequence) else [value]
    rule = "a layer or a list of layers, at least one"
    if not all(isinstance(layer, keras.Layer) for layer in layers):
        raise TypeError(message(owner, argument, rule, value))
    if not layers:
        raise ValueError(message(owner, argument, rule, value))
    return layers


def spawned_seeds(seed: int | None, number: int) -> list[int | None]:
    """Distinct seeds that follow from one; None gives None."""
    if seed is None:
        return [None] * number
    state = np.random.SeedSequence(seed).generate_state(number)
    return [int(word) % 2**31 for word in state]
