"""Weights of rows, pixels, tokens and labels."""

from typing import Any

import numpy as np


def read_weights(owner: str, sample_weight: Any, num_rows: int) -> np.ndarray:
    """Float64 array `(n,)` that sums to 1."""
    weights = cell_weights(owner, sample_weight, (num_rows,))
    if sample_weight is None:
        return weights
    return weights / weights.sum()


def cell_weights(owner: str, sample_weight: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Float64 array of as many weights as a shape has elements.

    Args:
        owner: Str. Who is named in errors.
        sample_weight: Array of some first axes of the shape, or of all; or None.
        shape: Tuple of ints.
    """
    size = int(np.prod(shape))
    if sample_weight is None:
        return np.full(size, 1 / size)
    weights = np.asarray(sample_weight, "float64")
    leading = [shape[: i + 1] for i in range(len(shape))]
    if weights.shape not in leading and weights.shape[-1:] == (1,):
        weights = weights[..., 0]
    if weights.shape not in leading:
        raise ValueError(
            f"{owner}: `sample_weight` must have shape "
            f"{' or '.join(map(str, leading))}. Received: shape "
            f"{np.shape(sample_weight)}. Give a weight for each row."
        )
    if not (np.isfinite(weights) & (weights >= 0)).all() or weights.sum() == 0:
        raise ValueError(
            f"{owner}: `sample_weight` must be finite, >= 0 and not all 0. Received: "
            f"values from {weights.min():.3g} to {weights.max():.3g}. Give 0 to rows "
            "that should not count."
        )
    rest = [1] * (len(shape) - weights.ndim)
    return np.broadcast_to(weights.reshape(*weights.shape, *rest), shape).reshape(-1)
