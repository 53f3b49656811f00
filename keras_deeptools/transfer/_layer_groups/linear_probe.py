"""A linear classifier in closed form, and its accuracy on samples that are left out."""

import numpy as np

PENALTIES = 10.0 ** np.arange(-4, 5)
"""Of the squared weights, per sample, for standardized features."""
TINY = 1e-10


def probe_accuracy(features: np.ndarray, labels: np.ndarray, folds: np.ndarray) -> list:
    """Accuracy in each fold, of probes fitted on the other folds.

    Args:
        features: Array `(rows, features)`.
        labels: Int array `(rows,)`, classes from 0.
        folds: Int array `(rows,)`, from 0.

    Returns:
        List of floats, one for each fold.

    Example:

    >>> import numpy as np
    >>> from keras_deeptools.transfer._layer_groups.linear_probe import probe_accuracy
    >>> x, y = np.repeat([[0.0], [1.0]], 10, axis=0), np.arange(20) // 10
    >>> probe_accuracy(x, y, np.arange(20) % 2)
    [1.0, 1.0]
    """
    found = []
    for fold in range(folds.max() + 1):
        kept = folds != fold
        weights, bias = ridge_classifier(features[kept], labels[kept])
        scores = features[~kept] @ weights + bias
        found.append(float(np.mean(scores.argmax(axis=1) == labels[~kept])))
    return found


def ridge_classifier(
    features: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Ridge regression on one-hot targets, of standardized features.

    The penalty is that of `PENALTIES` with the smallest squared error of samples that
    are left out one by one, which a closed form gives.

    Args:
        features: Array `(rows, features)`.
        labels: Int array `(rows,)`, classes from 0.

    Returns:
        Weights `(features, classes)` and bias `(classes,)` for features as given.

    Reference:
        Allen, 1974 (PRESS); Golub, Heath & Wahba, 1979, section 1.
    """
    rows = np.asarray(features, "float64")
    targets = np.eye(labels.max() + 1)[labels]
    mean, scale = rows.mean(axis=0), rows.std(axis=0)
    scale[scale <= TINY * np.abs(rows).max(initial=TINY)] = np.inf
    rows = (rows - mean) / scale
    level = targets.mean(axis=0)
    left, values, right = _decomposed(rows)
    projected = left.T @ (targets - level)
    best, weights = np.inf, np.zeros((rows.shape[1], targets.shape[1]))
    for penalty in PENALTIES * len(rows):
        shrunk = values**2 / (values**2 + penalty)
        fitted = level + left @ (shrunk[:, None] * projected)
        leverage = 1 / len(rows) + left**2 @ shrunk
        residual = (targets - fitted) / np.maximum(1 - leverage, TINY)[:, None]
        error = np.mean(residual**2)
        if error < best:
            best = error
            inverse = values / (values**2 + penalty)
            weights = right @ (inverse[:, None] * projected)
    weights = weights / scale[:, None]
    return weights, level - mean @ weights


def _decomposed(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The singular vectors and values of which more than rounding is left.

    Through the smaller one of the two products, several times as fast as by `svd`.
    """
    wide = rows.shape[0] <= rows.shape[1]
    squares, vectors = np.linalg.eigh(rows @ rows.T if wide else rows.T @ rows)
    kept = squares > TINY * max(squares.max(initial=0), TINY)
    vectors, values = vectors[:, kept], np.sqrt(squares[kept])
    if wide:
        return vectors, values, rows.T @ vectors / values
    return rows @ vectors / values, values, vectors


def stratified_folds(
    labels: np.ndarray, num_folds: int, generator: np.random.Generator
) -> np.ndarray:
    """Fold of each sample, each fold with nearly the same share of every class.

    Args:
        labels: Int array `(rows,)`.
        num_folds: Int >= 2.
        generator: Where the order within a class comes from.
    """
    order = generator.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    folds = np.empty(len(labels), int)
    folds[order] = np.arange(len(labels)) % num_folds
    return folds
