"""Predictions and labels with a known, or at least a hard, relation."""

import numpy as np


def classified(num_rows=600, num_classes=4, sharpness=2.0, seed=0):
    """Probabilities `(n, k)` that are too sure, labels, and weights."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(num_rows, num_classes))
    labels = np.argmax(logits + random.gumbel(size=logits.shape), axis=1)
    exponents = np.exp(sharpness * logits)
    probabilities = exponents / exponents.sum(axis=1, keepdims=True)
    return probabilities, labels, random.uniform(0.1, 2.0, num_rows)


def binary(num_rows=600, seed=0):
    """Probabilities `(n,)` of class 1 that are too sure, labels, and weights."""
    probabilities, labels, weights = classified(num_rows, 2, seed=seed)
    return probabilities[:, 1], labels, weights
