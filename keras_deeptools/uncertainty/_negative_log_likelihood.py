"""The negative log-likelihood of labels, and moments of logits that it comes from."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from keras_deeptools.uncertainty._labelled_rows import (
    LabelledRows,
    labelled_rows,
    pixel_by_pixel,
    read_weights,
)


def log_sum(logits: np.ndarray) -> np.ndarray:
    """Returns the log of the sum of exponentials over the last axis, which is kept."""
    peak = logits.max(axis=-1, keepdims=True)
    return peak + np.log(np.exp(logits - peak).sum(axis=-1, keepdims=True))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Returns log-probabilities `(..., k)`."""
    return logits - log_sum(logits)


NUM_NODES = 32


@dataclass(frozen=True, eq=False)
class Logits:
    """Logits of a Dense layer after dropout; arrays `(n, k)`, except for `spread`.

    `scale` `(n, d)` is the variance of each feature, and `kernel` `(d, k)` passes it
    on; for each sample the covariance of the logits is `kernel.T @ diag(scale) @
    kernel`.
    """

    mean: np.ndarray
    variance: np.ndarray
    scale: np.ndarray
    kernel: np.ndarray

    def covariance_with(self, direction: np.ndarray) -> np.ndarray:
        """Returns the covariance of every logit with a sum weighted by `direction`."""
        return (self.scale * (direction @ self.kernel.T)) @ self.kernel


def logit_moments(
    features: np.ndarray, kernel: np.ndarray, bias: np.ndarray, rate: float
) -> Logits:
    """Returns exact moments: a feature times mask / (1 - `rate`) keeps its mean."""
    scale = features**2 * (rate / (1 - rate))
    return Logits(features @ kernel + bias, scale @ kernel**2, scale, kernel)


def sigmoid_moments(
    mean: np.ndarray, variance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Computes mean and deviation of `sigmoid(z)` for normal z, by quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(NUM_NODES)
    weights = weights / weights.sum()
    values = np.tanh((mean[..., None] + np.sqrt(variance)[..., None] * nodes) / 2)
    first = values @ weights
    second = values**2 @ weights
    spread = np.sqrt(np.maximum(second - first**2, 0))
    return (1 + first) / 2, spread / 2


def softmax_moments(logits: Logits) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean and standard deviation of `softmax(z)`, class by class.

    A probability is the sigmoid of its log-odds, `z_k - log sum_{j != k} exp z_j`. The
    log-odds are taken as normal, with their mean to the second order and their variance
    to the first order in the spread of the logits.
    """
    if logits.mean.shape[1] == 1:
        return np.ones_like(logits.mean), np.zeros_like(logits.mean)
    mean, variance = log_odds_moments(logits)
    probabilities, spread = sigmoid_moments(mean, variance)
    return probabilities / probabilities.sum(axis=1, keepdims=True), spread


def log_odds_moments(logits: Logits) -> tuple[np.ndarray, np.ndarray]:
    """Returns moments `(n, k)` of each class's log-odds against all others."""
    z, variance = logits.mean, logits.variance
    p = np.exp(log_softmax(z))
    # The most likely class is computed by itself, because 1 - p would cancel there.
    is_top = np.arange(z.shape[1]) == z.argmax(axis=1)[:, None]
    others = np.where(is_top, -np.inf, z)
    shares = np.exp(log_softmax(others))
    rest = np.where(is_top, 1, 1 - p)
    log_odds = np.where(is_top, z - log_sum(others), z - log_sum(z) - np.log(rest))
    # The weighted mean of the other logits, in shares that sum to 1, has covariance
    # `cross` with the logit of the class, and variance `own`.
    along = logits.covariance_with(p)
    cross = (along - p * variance) / rest
    own = (p * along).sum(axis=1, keepdims=True) - 2 * p * along + p**2 * variance
    own = own / rest**2
    inside = ((p * variance).sum(axis=1, keepdims=True) - p * variance) / rest
    along = logits.covariance_with(shares)
    cross = np.where(is_top, along, cross)
    own = np.where(is_top, (shares * along).sum(axis=1, keepdims=True), own)
    inside = np.where(is_top, (shares * variance).sum(axis=1, keepdims=True), inside)
    curvature = np.maximum(inside - own, 0)
    return log_odds - curvature / 2, np.maximum(variance - 2 * cross + own, 0)


def mean_field_softmax(mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Returns the softmax of logits shrunk by their spread, as for a probit."""
    shrunk = mean / np.sqrt(1 + np.pi / 8 * variance)
    return np.exp(log_softmax(shrunk))


def negative_log_likelihood(
    probabilities: Any,
    labels: Any,
    *,
    from_logits: bool = False,
    sample_weight: Any = None,
    multi_label: bool | None = None,
    ignore_class: int | None = None,
) -> float:
    """Returns the mean of minus the log of the probability of the labels.

    A proper score, also known as log loss or cross-entropy, in nats. It punishes
    confident mistakes most: a probability of exactly 0 counts as the smallest step from
    0 (or from 1, with one column) that the floats of `probabilities` can represent.

    Args:
        probabilities: Float array `(n,)`, `(n, 1)` or `(n, ..., classes)`, as for
            `brier_score`.
        labels: Class indices, one-hot labels or 0 and 1, as for `brier_score`.
        from_logits: Bool, whether `probabilities` are logits.
        sample_weight: Float array or None, as for `brier_score`.
        multi_label: Bool or None, as for `brier_score`.
        ignore_class: Int or None, a label that does not count, such as 255 or -1.

    Returns:
        Float >= 0; with independent outputs the mean over them.

    Raises:
        ValueError: If shapes do not match, or a value is not a probability or a class.

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
    """Returns logits and labels as flat entries, from either kind of predictions.

    Args:
        owner: Str. Who is named in errors.
        predictions: Probabilities or logits, as in `labelled_rows`.
        labels: As in `labelled_rows`.
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
    """Returns logits `(n, k)`; binary probabilities get a first column of zeros.

    Args:
        probabilities: Float64 array `(n, k)`.
        is_binary: Bool, whether they were one column.
        smallest: Floats, the smallest distances from 0 and from 1 that they may have.
    """
    if not is_binary:
        return np.log(np.maximum(probabilities, smallest[0]))
    positive = np.clip(probabilities[:, 1], smallest[0], 1 - smallest[1])
    logits = np.log(positive) - np.log1p(-positive)
    return np.stack([np.zeros_like(logits), logits], axis=1)


def smallest_step(probabilities: Any) -> tuple[float, float]:
    """Returns how near to 0, and to 1, a probability can be without reaching it."""
    kind = np.asarray(probabilities).dtype
    if kind.name == "bfloat16":
        # A float32 whose last 16 bits were cut off.
        return float(np.finfo("float32").tiny), 2.0**-8
    limits = np.finfo(kind if kind.kind == "f" else "float64")
    return float(limits.tiny), float(limits.epsneg)


def gaussian_rows(
    owner: str, mean: Any, std: Any, targets: Any, sample_weight: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns standardized errors, standard deviations and weights, all `(n, d)`.

    The errors are targets minus means, in standard deviations. The weights sum to 1.
    """
    means = _finite(owner, "mean", mean)
    values = _finite(owner, "targets", targets)
    if values.shape != means.shape:
        raise ValueError(
            f"{owner}: `targets` must have as many values as `mean` in every row. "
            f"Received: shapes {np.shape(targets)} and {np.shape(mean)}. Give a target "
            "for every prediction."
        )
    scale = np.asarray(std, "float64")
    if scale.ndim:
        scale = _finite(owner, "std", std)
    try:
        scale = np.broadcast_to(scale, means.shape)
    except ValueError as error:
        raise ValueError(
            f"{owner}: `std` must be a float or have the shape of `mean`. Received: "
            f"shapes {np.shape(std)} and {np.shape(mean)}. Give one for every value."
        ) from error
    if not (np.isfinite(scale) & (scale > 0)).all():
        raise ValueError(
            f"{owner}: `std` must be > 0 and finite. Received: {scale.min():.3g} as "
            "the smallest. Add the noise of the data to the spread of the model: "
            "`np.sqrt(std**2 + noise**2)`."
        )
    weights = read_weights(owner, sample_weight, len(means))
    shares = np.broadcast_to(weights[:, None] / means.shape[1], means.shape)
    return (values - means) / scale, scale, shares


def _finite(owner: str, argument: str, values: Any) -> np.ndarray:
    """Returns a float64 array `(n, d)`."""
    array = np.asarray(values, "float64")
    if array.ndim == 0 or array.size == 0:
        raise ValueError(
            f"{owner}: `{argument}` must have shape (n,) or (n, outputs), with n > 0. "
            f"Received: shape {array.shape}. Give a value for every row."
        )
    if not np.isfinite(array).all():
        raise ValueError(
            f"{owner}: `{argument}` must be finite. Received: "
            f"{int((~np.isfinite(array)).sum())} values that are not. Mend the model "
            "or leave their rows out."
        )
    return array.reshape(len(array), -1)


def gaussian_negative_log_likelihood(
    mean: Any, std: Any, targets: Any, *, sample_weight: Any = None
) -> float:
    """Returns the mean of minus the log-density of targets under normal predictions.

    A proper score, in nats, that judges the mean and the standard deviation together.
    It depends on the unit of the targets.

    Args:
        mean: Float array `(n,)` or `(n, outputs)`, what `predict` returns, or the
            `.mean` of a Monte Carlo prediction.
        std: Float > 0 or array with the shape of `mean`, standard deviations of the
            targets. The `.std` of a Monte Carlo prediction is only that of the model:
            add the noise of the data, `np.sqrt(std**2 + noise**2)`.
        targets: Float array with the shape of `mean`.
        sample_weight: Float array `(n,)` or None, weights >= 0 of the samples.

    Returns:
        Float, the mean over samples and outputs, with the constant log(2 pi) / 2.

    Raises:
        ValueError: If shapes do not match, a value is not finite, or a standard
            deviation is not > 0.

    Example:

    >>> from keras_deeptools.uncertainty import gaussian_negative_log_likelihood
    >>> round(gaussian_negative_log_likelihood([0.0, 1.0], 1.0, [0.0, 1.0]), 4)
    0.9189

    Reference:
        Nix & Weigend, 1994. Estimating the mean and variance of the target probability
        distribution.
    """
    owner = "gaussian_negative_log_likelihood"
    distance, scale, shares = gaussian_rows(owner, mean, std, targets, sample_weight)
    surprise = distance**2 / 2 + np.log(scale) + np.log(2 * np.pi) / 2
    return float((shares * surprise).sum())
