"""Smoothers of noisy curves, in numpy."""

import numpy as np

MIN_NEIGHBOURS = 5


def exponential_smoothing(values: np.ndarray, beta: float = 0.98) -> np.ndarray:
    """Exponential moving average with bias correction.

    This is what progress displays show of a loss. It lags: with `beta=0.98` the values
    in the average are up to 50 steps old, so positions must not be read from it.

    Args:
        values: Float array `(steps,)`. Non-finite values are skipped: the average
            before them is repeated, or NaN if there is none yet.
        beta: Float in [0, 1). Weight of the past.

    Returns:
        Float64 array `(steps,)`.

    Raises:
        ValueError: If `beta` is not in [0, 1).

    Example:

    >>> from keras_deeptools.statistics import exponential_smoothing
    >>> exponential_smoothing([1.0, 1.0, float("nan"), 1.0], beta=0.9).tolist()
    [1.0, 1.0, 1.0, 1.0]

    Reference:
        Kingma & Ba, 2015, section 3. https://arxiv.org/abs/1412.6980
    """
    if not 0 <= beta < 1:
        raise ValueError(
            "exponential_smoothing: `beta` must be in [0, 1). "
            f"Received: beta={beta!r}. Use 0 for no smoothing."
        )
    values = np.asarray(values, dtype="float64")
    smoothed = np.full(values.shape, np.nan)
    average = weight = 0.0
    for step, value in enumerate(values):
        if np.isfinite(value):
            average = beta * average + (1 - beta) * value
            weight = beta * weight + (1 - beta)
        if weight:
            smoothed[step] = average / weight
    return smoothed


def noise_level(values: np.ndarray) -> float:
    """Standard deviation of the noise on a curve, robust to slopes and outliers."""
    bends = values[:-2] - 2 * values[1:-1] + values[2:]
    return float(1.4826 * np.median(np.abs(bends)) / np.sqrt(6))


def running_median(values: np.ndarray, width: int = 5) -> np.ndarray:
    """Median of the `width` values around each; sudden changes stay where they are."""
    padded = np.pad(values, width // 2, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, width)
    return np.median(windows, axis=1)


def without_spikes(values: np.ndarray) -> np.ndarray:
    """Pulls single values that differ from their neighbours back to 3 deviations."""
    middle = running_median(values)
    reach = 3 * noise_level(values)
    return middle + np.clip(values - middle, -reach, reach)


def local_linear(
    positions: np.ndarray, bandwidth: float
) -> tuple[np.ndarray, np.ndarray]:
    """Returns matrices that smooth a curve, and take its slope, by local lines.

    Unlike a running average they look at both sides, so nothing is shifted.

    Args:
        positions: Float array `(steps,)`, increasing; need not be evenly spaced.
        bandwidth: Float > 0, standard deviation of the Gaussian window in the unit of
            `positions`; widened where fewer than five points are that near.

    Returns:
        Two arrays `(steps, steps)`; multiply them with the values.

    Reference:
        Fan & Gijbels, 1996, "Local Polynomial Modelling and Its Applications",
        section 3.1.
    """
    offsets = positions[None, :] - positions[:, None]
    rank = min(MIN_NEIGHBOURS, len(positions)) - 1
    nearest = np.sort(np.abs(offsets), axis=1)[:, rank]
    widths = np.maximum(bandwidth, nearest)[:, None]
    scaled = offsets / widths
    kernel = np.exp(-0.5 * scaled**2)
    total, first, second = (
        (kernel * scaled**power).sum(axis=1, keepdims=True) for power in range(3)
    )
    determinant = total * second - first**2
    value = kernel * (second - first * scaled) / determinant
    slope = kernel * (total * scaled - first) / determinant / widths
    return value, slope


def falling_regression(values: np.ndarray) -> np.ndarray:
    """Non-increasing sequence that is nearest to `values` in squared distance.

    Reference:
        Barlow et al., 1972, "Statistical Inference under Order Restrictions": the
        pool-adjacent-violators algorithm.
    """
    levels: list[float] = []
    sizes: list[int] = []
    for value in values:
        levels.append(float(value))
        sizes.append(1)
        while len(levels) > 1 and levels[-2] < levels[-1]:
            size = sizes.pop()
            level = levels.pop()
            levels[-1] = (levels[-1] * sizes[-1] + level * size) / (sizes[-1] + size)
            sizes[-1] += size
    return np.repeat(levels, sizes)
