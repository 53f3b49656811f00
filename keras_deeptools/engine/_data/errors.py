"""Errors about data for training that name the remedy."""

import contextlib
import types
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._keras_private.data import are_arrays, kind_of

KINDS = "arrays, a tf.data.Dataset, a PyDataset, a torch DataLoader or a generator"


def check_data(
    owner: str, x: Any, y: Any, sample_weight: Any, class_weight: Any
) -> None:
    """Raises for arguments that `fit` would refuse, before anything is drawn."""
    if x is None:
        raise ValueError(f"{owner}: `x` must be data. Received: x=None.")
    kind = _kind(x)
    for name, value in {"y": y, "sample_weight": sample_weight}.items():
        if kind and value is not None:
            raise ValueError(
                f"{owner}: `{name}` must be None where `x` is a {kind}. "
                f"Received: {name} of type {type(value).__name__}. Let the "
                f"{kind} yield (x, y) or (x, y, sample_weight)."
            )
    if class_weight is not None:
        _check_class_weight(owner, kind, y, sample_weight, class_weight)
    if not kind:
        _check_arrays(owner, {"x": x, "y": y, "sample_weight": sample_weight})


def check_generated(owner: str, batch: Any) -> None:
    """Raises for what a generator yields and `fit` does not take."""
    if not isinstance(batch, tuple) or not 1 <= len(batch) <= 3:
        got = type(batch).__name__
        got += f" of {len(batch)}" if isinstance(batch, (tuple, list)) else ""
        raise ValueError(
            f"{owner}: a generator `x` must yield tuples (x,), (x, y) or "
            f"(x, y, sample_weight), as for `fit`. Received: a {got}. Write for "
            "instance `yield x, y`."
        )


def empty(owner: str, x: Any) -> ValueError:
    """The error for data without a batch."""
    return ValueError(
        f"{owner}: `x` must hold at least one batch. Received: "
        f"x of type {type(x).__name__}, which is empty. Pass data with samples."
    )


@contextlib.contextmanager
def explained(owner: str, arguments: dict[str, Any]) -> Iterator[None]:
    """Names owner and remedy where Keras refuses data."""
    try:
        yield
    except ValueError as error:
        if "Unrecognized data type" in str(error):
            raise ValueError(
                f"{owner}: `x` must be {KINDS}. Received: x of type "
                f"{type(arguments['x']).__name__}. Wrap an iterator in a generator: "
                "`(batch for batch in x)`."
            ) from error
        if "cardinality" in str(error):
            lengths = ", ".join(
                f"{name} has {sorted(_lengths(arguments[name]))}"
                for name in ("x", "y", "sample_weight")
                if arguments.get(name) is not None
            )
            raise ValueError(
                f"{owner}: all arrays must have the same number of samples, their "
                f"first axis. Received: {lengths}. Cut or transpose them."
            ) from error
        if "Invalid dtype" in str(error):
            raise  # Which array it is shows in a look at the data.
        reason = f"{owner}: the data must be what `fit` takes. {error}"
        raise ValueError(reason) from error


def _no(x: Any) -> bool:
    return False


def _kind(x: Any) -> str:
    """What data other than arrays are called."""
    if isinstance(x, keras.utils.PyDataset):
        return "PyDataset"
    if isinstance(x, types.GeneratorType):
        return "generator"
    return kind_of(x)


def _check_class_weight(
    owner: str, kind: str, y: Any, sample_weight: Any, class_weight: Any
) -> None:
    if not isinstance(class_weight, dict):
        raise TypeError(
            f"{owner}: `class_weight` must be a dict from class to weight. Received: "
            f"class_weight={class_weight!r}. Write for instance `{{0: 1.0, 1: 5.0}}`."
        )
    if kind in ("generator", "torch DataLoader", "grain dataset"):
        raise ValueError(
            f"{owner}: `class_weight` must be None where `x` is a {kind}. Received: "
            f"class_weight={class_weight!r}. Let it yield (x, y, sample_weight)."
        )
    if sample_weight is not None:
        raise ValueError(
            f"{owner}: `class_weight` and `sample_weight` must not be given together. "
            "Received: both. Multiply the weights of the classes into `sample_weight`."
        )
    if not kind and (y is None or keras.tree.is_nested(y)):
        received = "y=None" if y is None else f"y of type {type(y).__name__}"
        raise ValueError(
            f"{owner}: `y` must be one array of classes where `class_weight` is "
            f"given. Received: {received}. Give `sample_weight`, for each output."
        )


def _check_arrays(owner: str, arguments: dict[str, Any]) -> None:
    for name, value in arguments.items():
        if are_arrays(value):
            continue
        leaves = keras.tree.flatten(value)
        odd = next(leaf for leaf in leaves if not are_arrays(leaf))
        if isinstance(odd, (bool, int, float, str, np.number)):
            kind = "strings" if isinstance(odd, str) else "numbers"
            raise ValueError(
                f"{owner}: `{name}` must be {KINDS if name == 'x' else 'arrays'}; "
                f"`fit` takes no Python {kind}. Received: {name} of type "
                f"{type(value).__name__}. Convert it: `np.array({name})`."
            )
        if name != "x":
            raise ValueError(
                f"{owner}: `{name}` must be arrays. Received: {name} of type "
                f"{type(value).__name__}. Convert it with `np.asarray`."
            )


def _lengths(value: Any) -> set[int]:
    leaves = [leaf for leaf in keras.tree.flatten(value) if leaf is not None]
    return {int(leaf.shape[0]) for leaf in leaves if leaf.shape}
