"""The negative log-likelihood of a classifier."""

from typing import Any

import numpy as np

from keras_deeptools.uncertainty._labelled_rows import (
    read_labels,
    read_probabilities,
    read_scores,
    read_weights,
)
from keras_deeptools.uncertainty._log_softmax import log_softmax


def negative_log_likelihood(
    probabilities: Any,
    labels: Any,
    *,
    from_logits: bool = False,
    sample_weight: Any = None,
) -> float:
    """The mean of minus the log of the probability of what came true.

    A proper score, also known as log loss or cross-entropy, in nats. It punishes sure
    mistakes most: a probability of exactly 0 counts as the smallest step from 0 (or
    from 1, with one column) that the floats of `probabilities` can take.

    Args:
        probabilities: Float array `(n,)` or `(n, 1)`, probability of class 1, or
            `(n, classes)`: what `predict` returns, or the `.mean` of a Monte Carlo
            prediction.
        labels: Class indices `(n,)` or `(n, 1)`, or one-hot rows `(n, classes)`.
        from_logits: Bool, whether `probabilities` are logits.
        sample_weight: Float array `(n,)` or None, weights >= 0 of the rows.

    Returns:
        Float >= 0.

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
    logits = read_logits(owner, probabilities, from_logits)
    labels = read_labels(owner, labels, *logits.shape)
    weights = read_weights(owner, sample_weight, len(logits))
    return float(-weights @ log_softmax(logits)[np.arange(len(labels)), labels])


def read_logits(owner: str, predictions: Any, from_logits: bool) -> np.ndarray:
    """Float64 logits `(n, k)`, of a binary model with a first column of zeros."""
    if from_logits:
        logits = read_scores(owner, "logits", predictions)
        if logits.shape[1] > 1:
            return logits
        return np.concatenate([np.zeros_like(logits), logits], axis=1)
    smallest = _smallest_step(predictions)
    values = read_probabilities(owner, predictions)
    if np.ndim(predictions) == 2 and np.shape(predictions)[1] > 1:
        return np.log(np.maximum(values, smallest[0]))
    positive = np.clip(values[:, 1], smallest[0], 1 - smallest[1])
    logits = np.log(positive) - np.log1p(-positive)
    return np.stack([np.zeros_like(logits), logits], axis=1)


def _smallest_step(probabilities: Any) -> tuple[float, float]:
    """How near to 0, and to 1, a probability can be without being it."""
    kind = np.asarray(probabilities).dtype
    limits = np.finfo(kind if kind.kind == "f" else "float64")
    return float(limits.tiny), float(limits.epsneg)
