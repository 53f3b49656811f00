"""The data that a search passes on to the training of its trials."""

import inspect
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np


def named_arguments(args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
    """What `fit` was given, by name.

    Args:
        args: Positional arguments of `keras.Model.fit`.
        kwargs: The others.
    """
    names = list(inspect.signature(keras.Model.fit).parameters)[1:]
    return {**dict(zip(names, args, strict=False)), **kwargs}


def is_in_rows(x: Any) -> bool:
    """Whether data come as arrays, for `fit` to make batches of.

    Args:
        x: Inputs, as `fit` takes them.
    """
    return hasattr(x, "shape") or isinstance(x, (dict, list, tuple))


def training_rows(given: dict[str, Any]) -> dict[str, Any]:
    """`x`, `y` and `sample_weight` of what is trained on.

    Args:
        given: Arguments of `fit` by name.
    """
    found = {name: given.get(name) for name in ("x", "y", "sample_weight")}
    split = given.get("validation_split") or 0.0
    if not split or given.get("validation_data") is not None:
        return found
    return _sliced(found, slice(0, _first_held_out(found["x"], split)))


def validation_rows(given: dict[str, Any]) -> tuple[Any, Any, Any] | None:
    """Inputs, targets and weights to validate on; None where there are none.

    Of data in batches the first holds all, and the others are None.

    Args:
        given: Arguments of `fit` by name.
    """
    data = given.get("validation_data")
    if isinstance(data, tuple | list):
        is_whole = len(data) >= 2 and is_in_rows(data[0])
        return (data[0], data[1], (*data, None)[2]) if is_whole else None
    if data is not None:
        return None if isinstance(data, Iterator) else (data, None, None)
    split = given.get("validation_split") or 0.0
    if not split or not is_in_rows(given.get("x")):
        return None
    rows = slice(_first_held_out(given["x"], split), None)
    found = _sliced({"x": given["x"], "y": given.get("y")}, rows)
    return found["x"], found["y"], None


def first_rows(x: Any, num_rows: int) -> Any:
    """Some of the inputs.

    Args:
        x: Arrays.
        num_rows: Int, how many rows at most.
    """
    return keras.tree.map_structure(lambda each: each[:num_rows], x)


def _first_held_out(x: Any, split: float) -> int:
    """Where the rows begin that Keras holds out: they are the last."""
    return int(np.floor(len(keras.tree.flatten(x)[0]) * (1.0 - split)))


def _sliced(data: dict[str, Any], rows: slice) -> dict[str, Any]:
    return keras.tree.map_structure(
        lambda each: None if each is None else each[rows], data, none_is_leaf=True
    )
