"""The negative log-likelihood of a regression."""

from typing import Any

import numpy as np

from keras_deeptools.uncertainty._labelled_rows import read_weights


def gaussian_rows(
    owner: str, mean: Any, std: Any, targets: Any, sample_weight: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Targets in standard deviations from the mean, those, and weights; all `(n, d)`.

    The weights sum to 1.
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
    """Float64 array `(n, d)`."""
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
    """The mean of minus the log-density of the targets under normal predictions.

    A proper score that judges the mean and the standard deviation together, in nats;
    it depends on the unit of the targets.

    Args:
        mean: Float array `(n,)` or `(n, outputs)`, what `predict` returns, or the
            `.mean` of a Monte Carlo prediction.
        std: Float > 0 or array with the shape of `mean`, standard deviations of the
            targets. The `.std` of a Monte Carlo prediction is that of the model alone:
            add the noise of the data, `np.sqrt(std**2 + noise**2)`.
        targets: Float array with the shape of `mean`.
        sample_weight: Float array `(n,)` or None, weights >= 0 of the rows.

    Returns:
        Float, the mean over rows and outputs, with the constant log(2 pi) / 2.

    Raises:
        ValueError: If shapes do not fit, a value is not finite or a standard deviation
            not > 0.

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
