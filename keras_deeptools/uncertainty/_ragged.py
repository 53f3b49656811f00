"""Rows that differ in shape."""

from collections.abc import Iterable

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
