"""The negative log-likelihood of a classifier."""

from dataclasses import replace
from typing import Any

import numpy as np

from keras_deeptools.uncertainty._labelled_rows import (
    LabelledRows,
    labelled_rows,
    pixel_by_pixel,
)
from keras_deeptools.uncertainty._logit_moments import log_softmax


def negative_log_likelihood(
    probabilities: Any,
    labels: Any,
    *,
    from_logits: bool = False,
    sample_weight: Any = None,
    multi_label: bool | None = None,
    ignore_class: int | None = None,
) -> float:
    """The mean of minus the log of the probability of what came true.

    A proper score, also known as log loss or cross-entropy, in nats. It punishes sure
    mistakes most: a probability of exactly 0 counts as the smallest step from 0 (or
    from 1, with one column) that the floats of `probabilities` can take.

    Args:
        probabilities: Float array `(n,)`, `(n, 1)` or `(n, ..., classes)`, as for
            `brier_score`.
        labels: Class indices, one-hot rows or 0 and 1, as for `brier_score`.
        from_logits: Bool, whether `probabilities` are logits.
        sample_weight: Float array or None, as for `brier_score`.
        multi_label: Bool or None, as for `brier_score`.
        ignore_class: Int or None, a label that does not count, such as 255 or -1.

    Returns:
        Float >= 0; with independent outputs the mean over them.

    Raises:
        ValueError: If shapes do not fit, or a value is no probability or no class.

    Example:

    >>> from keras_deeptools.uncertainty import negative_log_likelihood
    >>> round(negative_log_likelihood([[0.5, 0.5], [0.25, 0.75]], [0, 1]), 4)
    0.4904
    >>> round(negative_log_likelihood([0.0, 2.0], [0, 1], from_logits=True), 4)
    0.41
    """
    owner = "negative_log_likelihood"
    rows = labelled_logits(
        owner,
        probabilities,
        labels,
        sample_weight,
        from_logits,
        multi_label,
        ignore_class,
    )
    logs = log_softmax(rows.probabilities)[np.arange(len(rows.labels)), rows.labels]
    return float(-rows.weights @ logs)


def labelled_logits(
    owner: str,
    predictions: Any,
    labels: Any,
    sample_weight: Any = None,
    from_logits: bool = False,
    multi_label: bool | None = None,
    ignore_class: int | None = None,
) -> LabelledRows:
    """Logits and labels in rows, from either kind of predictions.

    Args:
        owner: Str. Who is named in errors.
        predictions: Probabilities or logits, as in `labelled_rows`.
        labels: As in `labelled_rows`, as the others.
        sample_weight: Array or None.
        from_logits: Bool, whether `predictions` are logits.
        multi_label: Bool or None.
        ignore_class: Int or None.
    """
    predictions, labels, sample_weight = pixel_by_pixel(
        predictions, labels, sample_weight
    )
    arguments = predictions, labels, sample_weight, multi_label, ignore_class
    if from_logits:
        return labelled_rows(owner, *arguments, argument="logits")
    rows = labelled_rows(owner, *arguments)
    logits = logits_of(rows.probabilities, rows.is_binary, smallest_step(predictions))
    return replace(rows, probabilities=logits)


def logits_of(
    probabilities: np.ndarray, is_binary: bool, smallest: tuple[float, float]
) -> np.ndarray:
    """Logits `(n, k)` of probabilities; of binary ones with a first column of zeros.

    Args:
        probabilities: Float64 array `(n, k)`.
        is_binary: Bool, whether they were one column.
        smallest: Floats, how near to 0, and to 1, they may be.
    """
    if not is_binary:
        return np.log(np.maximum(probabilities, smallest[0]))
    positive = np.clip(probabilities[:, 1], smallest[0], 1 - smallest[1])
    logits = np.log(positive) - np.log1p(-positive)
    return np.stack([np.zeros_like(logits), logits], axis=1)


def smallest_step(probabilities: Any) -> tuple[float, float]:
    """How near to 0, and to 1, a probability can be without being it."""
    kind = np.asarray(probabilities).dtype
    if kind.name == "bfloat16":
        # A float32 of which the last 16 bits were cut off.
        return float(np.finfo("float32").tiny), 2.0**-8
    limits = np.finfo(kind if kind.kind == "f" else "float64")
    return float(limits.tiny), float(limits.epsneg)
