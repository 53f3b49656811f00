"""The negative log-likelihood of a regression."""

from typing import Any

import numpy as np

from keras_deeptools.uncertainty._gaussian_rows import gaussian_rows


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
