"""Sums of exponentials, without overflow."""

import numpy as np


def log_sum(logits: np.ndarray) -> np.ndarray:
    """Log of the sum of exponentials over the last axis, which stays as one."""
    peak = logits.max(axis=-1, keepdims=True)
    return peak + np.log(np.exp(logits - peak).sum(axis=-1, keepdims=True))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log-probabilities `(..., k)`."""
    return logits - log_sum(logits)
