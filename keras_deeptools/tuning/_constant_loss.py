"""The loss of a model that predicts the same for every row."""

from typing import Any

import keras
import numpy as np

SPARSE = ("sparse_categorical_crossentropy", "SparseCategoricalCrossentropy")
DENSE = ("categorical_crossentropy", "CategoricalCrossentropy")
BINARY = ("binary_crossentropy", "BinaryCrossentropy", "bce")
SQUARED = ("mean_squared_error", "MeanSquaredError", "mse")
ABSOLUTE = ("mean_absolute_error", "MeanAbsoluteError", "mae")


def constant_loss(loss: Any, targets: Any) -> float | None:
    """The least loss that one prediction for all rows can have.

    Class frequencies for crossentropies, the mean for squared errors, the median for
    absolute ones.

    Args:
        loss: Name of a loss or `keras.losses.Loss`, as a model was compiled with.
        targets: Array of targets.

    Returns:
        Float, or None where the loss is another one or the targets are no array.
    """
    if not isinstance(loss, str | keras.losses.Loss) or not hasattr(targets, "shape"):
        return None
    name = loss if isinstance(loss, str) else type(loss).__name__
    y = np.asarray(targets)
    smoothing = float(getattr(loss, "label_smoothing", 0.0))
    if getattr(loss, "ignore_class", None) is not None or not y.size:
        return None
    if name in SPARSE:
        return _entropy(np.unique(y, return_counts=True)[1] / y.size)
    if name in DENSE and y.ndim == 2:
        mean = y.mean(axis=0, dtype="float64")
        return _entropy(mean * (1 - smoothing) + smoothing / len(mean))
    y = y.reshape(len(y), -1).astype("float64")
    if name in BINARY:
        mean = y.mean(axis=0) * (1 - smoothing) + smoothing / 2
        return _entropy(np.stack([mean, 1 - mean])) / y.shape[1]
    if name in SQUARED:
        return float(y.var(axis=0).mean())
    if name in ABSOLUTE:
        return float(np.abs(y - np.median(y, axis=0)).mean())
    return None


def constant_loss_of(model: keras.Model, targets: Any) -> float | None:
    """The least loss that a model can have by one prediction for all rows.

    Args:
        model: `keras.Model`, compiled. With penalties in its loss: None.
        targets: Array of targets, or None.
    """
    return None if model.losses else constant_loss(model.loss, targets)


def _entropy(probabilities: np.ndarray) -> float:
    p = probabilities[probabilities > 0]
    return float(-np.sum(p * np.log(p)))
