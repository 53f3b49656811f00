"""The temperature of the smallest negative log-likelihood."""

import numpy as np

from keras_deeptools.uncertainty._log_softmax import log_softmax

LOWEST, HIGHEST = 1e-3, 1e3
TOLERANCE = 1e-10
MAX_STEPS = 200


def optimal_temperature(
    logits: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> float:
    """Float in [1e-3, 1e3], by Newton's method inside a bracket.

    In the inverse temperature b the loss is convex: the derivative of
    `mean(logsumexp(b * z) - b * z_label)` is the mean of what the model expects of the
    logits less what came true, and its own derivative their variance.

    Args:
        logits: Float64 array `(n, k)`.
        labels: Int array `(n,)` in [0, k).
        weights: Float64 array `(n,)` that sums to 1.
    """
    logits = logits - logits[np.arange(len(labels)), labels][:, None]

    def derivatives(inverse: float) -> tuple[float, float]:
        probabilities = np.exp(log_softmax(inverse * logits))
        expected = (probabilities * logits).sum(axis=1)
        spread = (probabilities * (logits - expected[:, None]) ** 2).sum(axis=1)
        return float(weights @ expected), float(weights @ spread)

    low, high = 1 / HIGHEST, 1 / LOWEST
    if derivatives(low)[0] >= 0:
        return HIGHEST
    if derivatives(high)[0] <= 0:
        return LOWEST
    inverse = 1.0
    for _ in range(MAX_STEPS):
        slope, curvature = derivatives(inverse)
        low, high = (low, inverse) if slope > 0 else (inverse, high)
        step = inverse - slope / curvature if curvature > 0 else 0.0
        following = step if low < step < high else np.sqrt(low * high)
        if abs(following - inverse) <= TOLERANCE * inverse:
            break
        inverse = following
    return 1 / following
