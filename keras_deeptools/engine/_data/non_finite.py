"""Finding NaN and infinity in what a model is trained on."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

PARTS = ("x", "y", "sample_weight")
CHUNK = 2**22
"""Elements looked at at once, so that no copy of large data is made."""


def non_finite(data: Any, where: str = "the data") -> list[str]:
    """What is NaN or infinite in data for training, a sentence for each array.

    Args:
        data: What `train_step` gets, or all of it: `x`, `(x,)`, `(x, y)` or
            `(x, y, sample_weight)`, each an array or nested arrays.
        where: Str. What `data` is, for the sentences.

    Returns:
        List of str, empty where all is finite.

    Example:

    >>> import numpy as np
    >>> from keras_deeptools.engine._data.non_finite import non_finite
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
        array: Array `(samples, ...)` of floats, also of types that numpy has not.
    """
    nans = infinities = samples = 0
    rows = max(CHUNK // max(int(np.prod(array.shape[1:])), 1), 1)
    for start in range(0, len(array), rows):
        part = array[start : start + rows]
        if part.dtype.kind == "V":  # bfloat16 and its kin, which numpy does not know
            part = part.astype("float32")
        bad = ~np.isfinite(part)
        if not bad.any():
            continue
        number = int(np.isnan(part).sum())
        nans += number
        infinities += int(bad.sum()) - number
        samples += int(bad.reshape(len(part), -1).any(axis=1).sum())
    return nans, infinities, samples
