"""Rows that differ in shape."""

from collections.abc import Iterable
from typing import Any

import numpy as np


def ragged(parts: Iterable[np.ndarray]) -> np.ndarray:
    """All rows in one array if they fit, else in an object array `(rows,)`.

    Args:
        parts: Arrays `(rows, ...)`.
    """
    parts = list(parts)
    if len({part.shape[1:] for part in parts}) == 1:
        return np.concatenate(parts)
    rows = [row for part in parts for row in part]
    found = np.empty(len(rows), object)
    for i, row in enumerate(rows):
        found[i] = row
    return found


def pixel_by_pixel(
    predictions: Any, labels: Any, sample_weight: Any = None
) -> tuple[Any, Any, Any]:
    """Predictions of samples of differing size as rows, with their labels and weights.

    All others come back as they are.

    Args:
        predictions: Object array or list of arrays `(..., classes)`.
        labels: As many arrays of labels, class indices or one-hot.
        sample_weight: As many arrays of weights, or a weight for each sample; or None.
    """
    parts = _parts_of(predictions)
    each = _parts_of(labels, len(parts))
    if len({part.shape for part in parts}) < 2 or len(each) != len(parts):
        return predictions, labels, sample_weight
    rows = [part.reshape(-1, part.shape[-1]) for part in parts]
    sizes = [len(row) for row in rows]
    flat = [
        label.reshape(-1) if label.size == size else label.reshape(size, -1)
        for label, size in zip(each, sizes, strict=True)
        if label.size % size == 0
    ]
    if len(flat) < len(rows) or len({row.shape[1] for row in rows}) > 1:
        return predictions, labels, sample_weight
    weights = sample_weight
    if weights is not None:
        own = [np.asarray(weight) for weight in weights]
        pairs = zip(own, sizes, strict=True)
        weights = np.concatenate(
            [w.reshape(-1) if w.size == n else np.full(n, w.item()) for w, n in pairs]
        )
    return np.concatenate(rows), np.concatenate(flat), weights


def _parts_of(values: Any, count: int = 0) -> list[np.ndarray]:
    """Arrays of one axis or more in a list or object array; else none."""
    is_held = isinstance(values, np.ndarray) and (values.dtype == object or count)
    if not is_held and not isinstance(values, list | tuple):
        return []
    parts = [np.asarray(part) for part in values if isinstance(part, np.ndarray)]
    if len(parts) != len(values) or any(part.ndim == 0 for part in parts):
        return []
    return parts
