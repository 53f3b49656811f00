"""Four rules that read a rate from the curve of a range test."""

import numpy as np

from keras_deeptools.statistics._smoothing import falling_regression, local_linear


class CurveReader:
    """The four rules, for curves over the same rates."""

    def __init__(self, decades: np.ndarray) -> None:
        self._decades = decades
        self._matrices: dict[float, tuple[np.ndarray, np.ndarray]] = {}

    def fit(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The curve without its noise, and the matrix that makes it."""
        smoother, _ = self._local_linear(0.2)
        return smoother @ values, smoother

    def read(self, values: np.ndarray) -> dict[str, float]:
        """Position of each suggestion, in decades."""
        decades = self._decades
        rough, _ = self._local_linear(0.25)
        lowest = int(np.argmin(rough @ values))
        # Part of the fall that is left at each step. The first tenth of the steps is
        # the start, lest a high first loss alone be taken for it.
        falling = falling_regression(values[: lowest + 1])
        drop = falling[min(len(values) // 10, lowest)] - falling[-1]
        left = (falling - falling[-1]) / drop if drop > 0 else np.ones_like(falling)

        width = self._where(left <= 0.2) - self._where(left <= 0.8)
        smoother, slope = self._local_linear(np.clip(0.25 * width, 0.2, 1.0))
        slopes = (slope @ values)[: lowest + 1]
        on_the_way = (left <= 0.9) & (left >= 0.1)
        steepest = np.argmin(np.where(on_the_way, slopes, np.inf))
        if not on_the_way.any():
            steepest = np.argmin(slopes)
        curve = smoother @ values
        next_decade = np.interp(decades + 1, decades, curve)
        still_falls = np.flatnonzero((curve - next_decade)[: lowest + 1] > 0.1 * drop)
        slide = still_falls[-1] if len(still_falls) else steepest
        return {
            "valley": self._where(left <= 0.5),
            "steepest": decades[steepest],
            "slide": decades[slide],
            "minimum": decades[lowest] - 1,
        }

    def _where(self, reached: np.ndarray) -> float:
        return float(self._decades[np.argmax(reached)])

    def _local_linear(self, bandwidth: float) -> tuple[np.ndarray, np.ndarray]:
        bandwidth = round(float(bandwidth), 1 if bandwidth > 0.25 else 2)
        if bandwidth not in self._matrices:
            self._matrices[bandwidth] = local_linear(self._decades, bandwidth)
        return self._matrices[bandwidth]
