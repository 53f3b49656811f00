"""Predictions and labels, however they come, as rows over classes."""

from dataclasses import dataclass
from typing import Any

import numpy as np

SUM_TOLERANCE = 1e-2
"""Rows of half-precision probabilities sum to 1 within less than this."""


@dataclass(frozen=True, eq=False)
class LabelledRows:
    """Probabilities and the classes that came true; made by `labelled_rows`.

    Attributes:
        probabilities: Float64 array `(n, k)`; a binary model has k = 2 here.
        labels: Int64 array `(n,)` in [0, k).
        weights: Float64 array `(n,)`, summing to 1.
        is_binary: Bool, whether the predictions came as `(n,)` or `(n, 1)`.
    """

    probabilities: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    is_binary: bool


def labelled_rows(
    owner: str, probabilities: Any, labels: Any, sample_weight: Any = None
) -> LabelledRows:
    """Read what a classifier predicted and what came true, or raise as `owner`."""
    values = read_probabilities(owner, probabilities)
    is_binary = np.ndim(probabilities) == 1 or np.shape(probabilities)[1] == 1
    return LabelledRows(
        values,
        read_labels(owner, labels, *values.shape),
        read_weights(owner, sample_weight, len(values)),
        is_binary,
    )


def read_probabilities(owner: str, probabilities: Any) -> np.ndarray:
    """Float64 array `(n, k)` from `(n,)`, `(n, 1)` or `(n, k)`."""
    values = read_scores(owner, "probabilities", probabilities)
    low, high = values.min(), values.max()
    if low < 0 or high > 1 + SUM_TOLERANCE:
        raise ValueError(
            f"{owner}: `probabilities` must be in [0, 1]. Received: values from "
            f"{low:.3g} to {high:.3g}. Logits need a softmax or sigmoid first."
        )
    if values.shape[1] == 1:
        return np.concatenate([1 - values, values], axis=1)
    sums = values.sum(axis=1)
    if abs(sums - 1).max() > SUM_TOLERANCE:
        raise ValueError(
            f"{owner}: `probabilities` of a row must sum to 1. Received: a row that "
            f"sums to {sums[abs(sums - 1).argmax()]:.3g}. Judge independent outputs "
            "one by one: `probabilities[:, i]`, `labels[:, i]`."
        )
    return values


def read_scores(owner: str, argument: str, scores: Any) -> np.ndarray:
    """Float64 array `(n, columns)`, finite, from one or two axes."""
    values = np.asarray(scores)
    if values.ndim not in (1, 2) or values.size == 0:
        raise ValueError(
            f"{owner}: `{argument}` must have shape (n,), (n, 1) or (n, classes), with "
            f"n > 0. Received: shape {values.shape}. Merge further axes into the "
            "first: `.reshape(-1, num_classes)`."
        )
    values = values.astype("float64").reshape(len(values), -1)
    num_bad = int((~np.isfinite(values)).any(axis=1).sum())
    if num_bad:
        raise ValueError(
            f"{owner}: `{argument}` must be finite. Received: {num_bad} of "
            f"{len(values)} rows with NaN or infinity. Mend the model or leave them "
            "out."
        )
    return values


def read_labels(owner: str, labels: Any, num_rows: int, num_classes: int) -> np.ndarray:
    """Int64 array `(n,)` from class indices or one-hot rows."""
    values = np.asarray(labels)
    if values.shape == (num_rows, num_classes):
        is_one_hot = np.isin(values, (0, 1)).all() and (values.sum(axis=1) == 1).all()
        if not is_one_hot:
            raise ValueError(
                f"{owner}: `labels` of shape {values.shape} must be one-hot. Received: "
                "rows without exactly one 1. Give class indices, one for each row."
            )
        return values.argmax(axis=1).astype("int64")
    if values.shape not in ((num_rows,), (num_rows, 1)):
        raise ValueError(
            f"{owner}: `labels` must have shape ({num_rows},), ({num_rows}, 1) or "
            f"({num_rows}, {num_classes}), as the predictions do. Received: shape "
            f"{values.shape}. Give a label for each row."
        )
    values = values.reshape(-1).astype("float64")
    is_index = np.isfinite(values) & (values == np.floor(values))
    is_index &= (values >= 0) & (values < num_classes)
    if not is_index.all():
        raise ValueError(
            f"{owner}: `labels` must be integers in [0, {num_classes}). Received: "
            f"{values[~is_index][0]!r}. Number the classes from 0."
        )
    return values.astype("int64")


def read_weights(owner: str, sample_weight: Any, num_rows: int) -> np.ndarray:
    """Float64 array `(n,)` that sums to 1."""
    if sample_weight is None:
        return np.full(num_rows, 1 / num_rows)
    weights = np.asarray(sample_weight, "float64")
    if weights.shape not in ((num_rows,), (num_rows, 1)):
        raise ValueError(
            f"{owner}: `sample_weight` must have shape ({num_rows},). Received: shape "
            f"{weights.shape}. Give a weight for each row."
        )
    weights = weights.reshape(-1)
    if not (np.isfinite(weights) & (weights >= 0)).all() or weights.sum() == 0:
        raise ValueError(
            f"{owner}: `sample_weight` must be finite, >= 0 and not all 0. Received: "
            f"values from {weights.min():.3g} to {weights.max():.3g}. Give 0 to rows "
            "that should not count."
        )
    return weights / weights.sum()
