"""Checks of what `TransferHyperModel` is given."""

from collections.abc import Iterable, Mapping
from typing import Any

import keras

from keras_deeptools._arguments import (
    checked_count,
    checked_float,
    checked_option,
    message,
)
from keras_deeptools.tuning._search_space.ranges import FloatRange, IntRange, OneOf
from keras_deeptools.tuning._transfer.pooled_features import Backbones

OWNER = "TransferHyperModel"
HEADS = ("average", "concat")


def named_backbones(backbones: Any, input_shape: Any) -> Backbones:
    """Backbones by the names that they have in a search.

    Args:
        backbones: Name, `keras.Model`, several of them, or a dict of them.
        input_shape: What was given for images.

    Raises:
        TypeError: If there is something else among them.
        ValueError: If there are none, two have one name, or images need a shape.
    """
    rule = "names of applications or models, each once"
    if isinstance(backbones, str | keras.Model):
        backbones = [backbones]
    if not isinstance(backbones, Mapping):
        listed = list(backbones)
        backbones = {_name(each): each for each in listed}
        if len(backbones) != len(listed):
            given = [_name(each) for each in listed]
            remedy = "Give a dict with names of your own."
            raise ValueError(message(OWNER, "backbones", rule, given, remedy))
    if not all(isinstance(each, str | keras.Model) for each in backbones.values()):
        raise TypeError(message(OWNER, "backbones", rule, backbones))
    if not backbones:
        raise ValueError(message(OWNER, "backbones", rule, backbones))
    if input_shape is None and any(isinstance(x, str) for x in backbones.values()):
        rule = "given for networks of `keras.applications`"
        raise ValueError(message(OWNER, "input_shape", rule, None))
    return dict(backbones)


def checked_heads(heads: Any) -> tuple[str, ...]:
    """Kinds of head, one or several."""
    listed = (heads,) if isinstance(heads, str) else tuple(heads)
    if not listed:
        raise ValueError(message(OWNER, "heads", "one kind or more", heads))
    return tuple(checked_option(OWNER, "heads", each, HEADS) for each in listed)


def checked_depths(depths: Any) -> tuple[int, ...]:
    """Numbers of groups, one or several."""
    listed = tuple(depths) if isinstance(depths, Iterable) else (depths,)
    if not listed:
        raise ValueError(message(OWNER, "depths", "one number or more", depths))
    return tuple(checked_count(OWNER, "depths", each, minimum=0) for each in listed)


def checked_range(
    argument: str, value: Any, at_least: float, below: float = float("inf")
) -> Any:
    """A number or range of numbers within limits.

    Args:
        argument: Str, the name of the argument.
        value: Number, `FloatRange`, `IntRange` or `OneOf`.
        at_least: Float.
        below: Float.
    """
    if isinstance(value, FloatRange | IntRange):
        numbers: tuple[Any, ...] = (value.low, value.high)
    else:
        numbers = tuple(value.values) if isinstance(value, OneOf) else (value,)
    for each in numbers:
        number = checked_float(OWNER, argument, each, at_least=at_least)
        if number >= below:
            rule = f"in [{at_least:g}, {below:g})"
            raise ValueError(message(OWNER, argument, rule, value))
    return value


def _name(backbone: Any) -> str:
    return getattr(backbone, "name", str(backbone))
