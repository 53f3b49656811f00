"""Entropy of predicted distributions, in nats, and what kind they are of."""

import numpy as np

CATEGORICAL = "categorical"
BERNOULLI = "Bernoulli"
VALUES = "values"
TOLERANCE = 1e-3
LOW_PRECISION_TOLERANCE = 2e-2


def kind_of(samples: np.ndarray) -> str:
    """What outputs `(rows, samples, ...)` are, judging by their values.

    `"categorical"` where the last of two or more axes adds up to one, `"Bernoulli"`
    where all are in [0, 1], else `"values"`.
    """
    tolerance = TOLERANCE if samples.dtype.itemsize > 2 else LOW_PRECISION_TOLERANCE
    if not ((samples >= 0) & (samples <= 1 + tolerance)).all():
        return VALUES
    if samples.ndim > 2 and samples.shape[-1] > 1:
        totals = samples.sum(axis=-1, dtype=np.float64)
        if (np.abs(totals - 1) <= tolerance).all():
            return CATEGORICAL
    return BERNOULLI if (samples <= 1).all() else VALUES


def entropy(probabilities: np.ndarray, kind: str) -> np.ndarray:
    """Entropy over the last axis if categorical, else of every element."""
    p = np.clip(probabilities.astype(np.float64), 0, 1)
    if kind == CATEGORICAL:
        return -_p_log_p(p).sum(axis=-1)
    return -_p_log_p(p) - _p_log_p(1 - p)


def votes(probabilities: np.ndarray, kind: str) -> np.ndarray:
    """How many samples (axis 1) choose each class, or choose "yes"."""
    if kind == BERNOULLI:
        return (probabilities >= 0.5).sum(axis=1)
    chosen = probabilities.argmax(axis=-1)
    classes = range(probabilities.shape[-1])
    return np.stack([(chosen == c).sum(axis=1) for c in classes], axis=-1)


def _p_log_p(p: np.ndarray) -> np.ndarray:
    return p * np.log(np.where(p > 0, p, 1.0))
