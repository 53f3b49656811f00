"""Errors about data for training, also about NaN and infinity, with the remedy."""

import contextlib
import types
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._keras_private.data import are_arrays, kind_of

KINDS = "arrays, a tf.data.Dataset, a PyDataset, a torch DataLoader or a generator"
PARTS = ("x", "y", "sample_weight")
CHUNK = 2**22
"""Elements looked at at once, so that no copy of large data is made."""


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
            raise  # Checking the data shows which array it is.
        reason = f"{owner}: the data must be what `fit` takes. {error}"
        raise ValueError(reason) from error


def _no(x: Any) -> bool:
    return False


def _kind(x: Any) -> str:
    """The name of data other than arrays."""
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


def non_finite(data: Any, where: str = "the data") -> list[str]:
    """Describes NaN and infinity in data for training, in a sentence for each array.

    Args:
        data: Data that `train_step` gets, or all of them: `x`, `(x,)`, `(x, y)` or
            `(x, y, sample_weight)`, each an array or nested arrays.
        where: Str. Name of `data`, for the sentences.

    Returns:
        List of str, empty where all is finite.

    Example:

    >>> import numpy as np
    >>> from keras_deeptools.engine._data.errors import non_finite
    >>> x = np.ones((4, 2))
    >>> x[1] = np.nan
    >>> non_finite(({"a": x, "b": np.ones(4)}, np.ones(4)))
    ["`x['a']` holds 2 NaN, in 1 of the 4 samples of the data."]
    """
    found = []
    for name, leaf in _named(data):
        array = _as_array(leaf)
        if array is None or array.dtype.kind not in "fcV" or not array.ndim:
            continue
        nans, infinities, samples = non_finite_counts(array)
        counts = [f"{nans} NaN"] * bool(nans)
        counts += [f"{infinities} infinite numbers"] * bool(infinities)
        if counts:
            found.append(
                f"`{name}` holds {' and '.join(counts)}, in {samples} of the "
                f"{len(array)} samples of {where}."
            )
    return found


def advice(found: list[str]) -> str:
    """The sentences of `non_finite` in one, with what to do; empty for none."""
    if not found:
        return ""
    return (
        f"The data are not finite: {' '.join(found)} Remove or replace these samples "
        "first (`np.isfinite(x)` finds them, `np.nan_to_num(x)` fills them)."
    )


def _named(data: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(data, (tuple, list)) and 0 < len(data) <= len(PARTS):
        parts: Any = zip(PARTS, data, strict=False)
    else:
        parts = [("x", data)]
    for name, part in parts:
        if part is None:
            continue
        for path, leaf in keras.tree.flatten_with_path(part):
            yield name + "".join(f"[{key!r}]" for key in path), leaf


def _as_array(leaf: Any) -> np.ndarray | None:
    """A numpy array of the numbers; None where there are none."""
    leaf = getattr(leaf, "flat_values", leaf)  # of ragged tensors
    if hasattr(leaf, "dense_shape"):
        leaf = leaf.values
    try:
        if keras.ops.is_tensor(leaf):
            return np.asarray(keras.ops.convert_to_numpy(leaf))
        return np.asarray(leaf)
    except (TypeError, ValueError, RuntimeError):
        return None


def non_finite_counts(array: np.ndarray) -> tuple[int, int, int]:
    """NaN, infinities, and samples with one of them.

    Args:
        array: Array `(samples, ...)` of floats, also of types that numpy lacks.
    """
    nans = infinities = samples = 0
    rows = max(CHUNK // max(int(np.prod(array.shape[1:])), 1), 1)
    for start in range(0, len(array), rows):
        part = array[start : start + rows]
        if part.dtype.kind == "V":  # types that numpy does not know, such as bfloat16
            part = part.astype("float32")
        bad = ~np.isfinite(part)
        if not bad.any():
            continue
        number = int(np.isnan(part).sum())
        nans += number
        infinities += int(bad.sum()) - number
        samples += int(bad.reshape(len(part), -1).any(axis=1).sum())
    return nans, infinities, samples
