"""Mean and variance of samples that come in parts (Welford, Chan)."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Moments:
    """Mean and sum of squared deviations of samples, for every row.

    Attributes:
        mean: Float64 array `(rows, ...)`.
        squares: Float64 array `(rows, ...)`, sum of squared deviations from the mean.
    """

    mean: np.ndarray
    squares: np.ndarray


def moments_of(samples: np.ndarray) -> Moments:
    """Moments over axis 1 of `(rows, samples, ...)`, in double precision."""
    samples = samples.astype(np.float64)
    mean = samples.mean(axis=1)
    samples -= mean[:, None]
    return Moments(mean, np.square(samples, out=samples).sum(axis=1))


def merged(first: Moments, n: int, second: Moments, m: int) -> Moments:
    """Moments of `n` and `m` samples together.

    Reference:
        Chan, Golub & LeVeque, 1983, equations 2.1. The American Statistician 37(3).
    """
    step = second.mean - first.mean
    mean = first.mean + step * (m / (n + m))
    squares = first.squares + second.squares + np.square(step) * (n * m / (n + m))
    return Moments(mean, squares)
