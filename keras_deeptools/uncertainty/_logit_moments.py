"""Mean and variance of logits after dropout, and of probabilities made from them."""

from dataclasses import dataclass

import numpy as np


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
