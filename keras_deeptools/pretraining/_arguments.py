"""Checks of the arguments of pretraining."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import message


def for_each_layer(
    owner: str, argument: str, value: Any, count: int, check: Callable[[Any], Any]
) -> list[Any]:
    """One checked value for each layer, from one for all or a list of them."""
    if not isinstance(value, list | tuple):
        return [check(value)] * count
    if len(value) != count:
        rule = f"one value, or a list of one for each of the {count} pretrained layers"
        raise ValueError(message(owner, argument, rule, value))
    return [check(each) for each in value]


def checked_optimizer(owner: str, value: Any) -> Any:
    """An optimizer made of a name, config or optimizer, or an error."""
    try:
        return keras.optimizers.get(value)
    except (ValueError, TypeError) as error:
        rule = "the name of an optimizer, or an optimizer"
        raise ValueError(message(owner, "optimizer", rule, value)) from error


def checked_rows(
    owner: str, model: keras.Model, x: Any, argument: str = "x"
) -> np.ndarray:
    """`x` as an array that fits the one input of the model, or an error."""
    rows = np.asarray(keras.ops.convert_to_numpy(x) if keras.ops.is_tensor(x) else x)
    expected = tuple(model.inputs[0].shape)
    rule = f"an array of numbers of shape {expected}, with at least one row"
    if rows.dtype.kind not in "biuf" and rows.dtype.name != "bfloat16":
        found = f"{type(x).__name__} of {rows.dtype}"
        raise TypeError(
            message(owner, argument, rule, found, "Give one array of inputs.")
        )
    fits = len(rows.shape) == len(expected) and all(
        size is None or size == own
        for size, own in zip(expected[1:], rows.shape[1:], strict=True)
    )
    if not fits or not len(rows):
        raise ValueError(message(owner, argument, rule, rows.shape))
    return rows
