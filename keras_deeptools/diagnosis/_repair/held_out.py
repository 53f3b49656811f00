"""One score for a model before and after a repair, on samples that it did not see."""

from typing import Any

import keras
import numpy as np

from keras_deeptools.diagnosis._diagnose.facts import TargetFacts

IMBALANCED = 0.9
"""Part of the samples in one class from which on classes count the same."""


def score_of(outputs: Any, y: Any, targets: TargetFacts) -> float:
    """How well outputs fit targets, whatever loss a model was trained with.

    Args:
        outputs: Array `(samples, ...)`, what the model predicts.
        y: Targets.
        targets: `TargetFacts` of the training targets.

    Returns:
        Float: the accuracy for classes, the mean over classes where nearly all samples
        belong to one; else the part of the variance that is explained; minus infinity
        for outputs that are not finite.

    Example:

    >>> import numpy as np
    >>> from keras_deeptools.diagnosis._diagnose.measure import target_facts
    >>> from keras_deeptools.diagnosis._repair.held_out import score_of
    >>> y = np.array([0, 1, 1, 0])
    >>> score_of(np.array([[0.2], [0.9], [0.4], [0.1]]), y, target_facts(y))
    0.75
    """
    found = np.asarray(outputs, "float64")
    wanted = np.asarray(y)
    if not np.isfinite(found).all():
        return -np.inf
    if targets.is_classes:
        labels = wanted
        if targets.kind == "one-hot":
            labels = wanted.reshape(len(wanted), -1).argmax(axis=-1)
        else:
            labels = np.searchsorted(targets.classes, wanted.reshape(len(wanted), -1))
            labels = labels[:, 0]
        right = _classes(found, targets) == labels
        if targets.counts.max() > IMBALANCED * targets.counts.sum():
            return float(
                np.mean([right[labels == c].mean() for c in np.unique(labels)])
            )
        return float(right.mean())
    if targets.kind == "tokens" and found.ndim > wanted.ndim:
        return float((found.argmax(axis=-1) == wanted).mean())
    wanted = wanted.astype("float64").reshape(len(wanted), -1)
    flat = found.reshape(len(found), -1)
    if flat.shape != wanted.shape:
        return -np.inf
    if targets.kind == "multi-hot":
        limit = 0 if flat.min() < 0 else 0.5
        return float(((flat > limit) == (wanted > 0.5)).mean())
    error = np.nanmean(np.square(flat - wanted))
    total = np.nanmean(np.square(wanted - np.nanmean(wanted, axis=0)))
    return float(1 - error / total) if total > 0 else float(-error)


def score_of_all(outputs: Any, y: Any, targets: list[TargetFacts | None]) -> float:
    """The mean score of outputs whose targets are known; NaN where none are.

    Args:
        outputs: Array, or a nested structure of one for each output.
        y: Targets, likewise.
        targets: List of `TargetFacts` or None, in the order of the outputs.
    """
    found, wanted = keras.tree.flatten(outputs), keras.tree.flatten(y)
    if not len(found) == len(wanted) == len(targets):
        return np.nan
    scores = [
        score_of(out, each, known)
        for out, each, known in zip(found, wanted, targets, strict=True)
        if known is not None
    ]
    return float(np.mean(scores)) if scores else np.nan


def _classes(found: np.ndarray, targets: TargetFacts) -> np.ndarray:
    """The position of the class that an output means."""
    flat = found.reshape(len(found), -1)
    if flat.shape[1] > 1:
        labels = flat.argmax(axis=1)
        first = targets.classes[0] if len(targets.classes) else 0
        # Outputs for labels that do not begin at 0 may or may not count from there.
        if targets.kind != "one-hot" and flat.shape[1] > targets.num_classes:
            labels = labels - int(first)
        return labels
    if targets.num_classes == 2:
        negative = flat.min() < 0
        return (flat[:, 0] > (0 if negative else 0.5)).astype(int)
    return np.searchsorted(targets.classes, np.round(flat[:, 0]))
