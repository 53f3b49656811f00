"""Suggests a learning rate from the curve of a range test."""

from dataclasses import dataclass

import numpy as np

from keras_deeptools.statistics._exponential_smoothing import (
    falling_regression,
    local_linear,
    noise_level,
    running_median,
    without_spikes,
)


class CurveReader:
    """The four rules, for curves over the same learning rates."""

    def __init__(self, decades: np.ndarray) -> None:
        self._decades = decades
        self._matrices: dict[float, tuple[np.ndarray, np.ndarray]] = {}

    def fit(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the curve without its noise, and the matrix that computes it."""
        smoother, _ = self._local_linear(0.2)
        return smoother @ values, smoother

    def read(self, values: np.ndarray) -> dict[str, float]:
        """Returns the position of each suggestion, in decades."""
        decades = self._decades
        rough, _ = self._local_linear(0.25)
        lowest = int(np.argmin(rough @ values))
        # Fraction of the fall that is left at each step. The first tenth of the steps
        # is the start, so that a single high first loss is not taken for it.
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


MIN_POINTS = 8
NUM_REPLICAS = 50
WEIGHTS = {"valley": 4, "steepest": 6, "slide": 1, "minimum": 1}


@dataclass(frozen=True)
class LearningRateSuggestions:
    """What the curve of a range test suggests; made by `suggest_learning_rate`.

    Attributes:
        suggestion: Float, the consensus; NaN if the loss never clearly falls.
        interval: Two floats: the central 90% of what `valley` and `steepest` found on
            replicas of the curve, one step wider on both sides.
        rules: Dict from `"valley"`, `"steepest"`, `"slide"`, `"minimum"` to float.
        positions: Int array `(points,)`, the steps with a finite loss.
        curve: Float64 array `(points,)`, the loss at these steps without its noise.
        noise: Float >= 0, standard deviation of the loss around its curve.
        falling_at_end: Bool, whether the loss was lowest at the largest learning rate.

    Example:

    >>> from keras_deeptools.statistics import RangeTestCurve, suggest_learning_rate
    >>> rates, losses = RangeTestCurve(steepest=1e-2).sample(noise=0.1, seed=0)
    >>> found = suggest_learning_rate(rates, losses)
    >>> sorted(found.rules)
    ['minimum', 'slide', 'steepest', 'valley']
    >>> low, high = found.interval
    >>> low <= found.suggestion <= high
    True
    """

    suggestion: float
    interval: tuple[float, float]
    rules: dict[str, float]
    positions: np.ndarray
    curve: np.ndarray
    noise: float
    falling_at_end: bool


def suggest_learning_rate(
    learning_rates: np.ndarray, losses: np.ndarray
) -> LearningRateSuggestions:
    """Suggests a learning rate from the losses of a range test.

    Four rules read the curve:

    - `steepest`: the learning rate at which the loss falls fastest per decade;
    - `valley`: the learning rate at which half of the whole fall is done;
    - `slide`: the largest learning rate from which the loss still falls by a tenth of
      its whole fall over the next decade;
    - `minimum`: a tenth of the learning rate with the lowest loss.

    `suggestion` is their weighted median (4, 6, 1, 1; in decades) over 50 replicas of
    the curve, each with newly drawn noise. The curve is fitted by local straight lines
    whose window follows the width of the descent, so the answer changes little with the
    noise, the shape of the curve, or single outliers.

    The published rules of the same names differ: fastai takes the middle of the
    longest decreasing subsequence (`valley`) and compares two slopes of a running
    average (`slide`), which keep the average's lag. `benchmarks/range_test_noise.py`
    compares them on curves whose steepest point is known.

    Args:
        learning_rates: Float array `(steps,)`, > 0 and increasing.
        losses: Float array `(steps,)`. Non-finite losses are left out.

    Returns:
        `LearningRateSuggestions`. With fewer than 8 finite losses, or a loss that does
        not fall clearly, all suggestions are NaN.

    Raises:
        ValueError: If the lengths differ, or learning rates are not > 0 and
            increasing.

    Example:

    >>> from keras_deeptools.statistics import RangeTestCurve, suggest_learning_rate
    >>> curve = RangeTestCurve(steepest=1e-3)
    >>> rates, losses = curve.sample(noise=0.1, seed=0)
    >>> 0.3e-3 < suggest_learning_rate(rates, losses).suggestion < 3e-3
    True

    Reference:
        Smith, 2017, section 3.3. https://arxiv.org/abs/1506.01186
    """
    rates, losses = _checked(learning_rates, losses)
    positions = np.flatnonzero(np.isfinite(losses))
    if len(positions) < MIN_POINTS:
        return _nothing_found(positions, losses[positions], np.nan)
    decades = np.log10(rates[positions])
    values, noise = _tamed(losses[positions])
    reader = CurveReader(decades)
    fit, smoother = reader.fit(values)
    if not _falls_clearly(values, fit, noise):
        return _nothing_found(positions, fit, noise)

    rules = reader.read(values)
    replicas = _replicas(values, fit, smoother)
    found = np.array([list(reader.read(replica).values()) for replica in replicas])
    names = list(rules)
    both = found[:, [names.index("valley"), names.index("steepest")]]
    weights = np.tile([WEIGHTS[name] for name in names], len(found))
    middle = _weighted_median(found.ravel(), weights)
    step = np.median(np.diff(decades))
    low, high = np.quantile(both, [0.05, 0.95]) + [-step, step]
    return LearningRateSuggestions(
        suggestion=float(10**middle),
        interval=(float(10 ** min(low, middle)), float(10 ** max(high, middle))),
        rules={name: float(10**value) for name, value in rules.items()},
        positions=positions,
        curve=fit,
        noise=noise,
        falling_at_end=bool(np.argmin(fit) == len(fit) - 1),
    )


def _checked(rates: np.ndarray, losses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rates = np.asarray(rates, dtype="float64")
    losses = np.asarray(losses, dtype="float64")
    if rates.ndim != 1 or rates.shape != losses.shape:
        raise ValueError(
            "suggest_learning_rate: `losses` must have one value for each rate. "
            f"Received: learning_rates.shape={rates.shape}, "
            f"losses.shape={losses.shape}. Pass two vectors of the same length."
        )
    if (
        np.any(rates <= 0)
        or np.any(np.diff(rates) <= 0)
        or not np.isfinite(rates).all()
    ):
        raise ValueError(
            "suggest_learning_rate: `learning_rates` must be > 0 and increasing. "
            f"Received: learning_rates={rates!r}. Sort the steps by their rate."
        )
    return rates, losses


def _tamed(losses: np.ndarray) -> tuple[np.ndarray, float]:
    """Returns the losses without spikes, and divergence cut off above the start."""
    noise = noise_level(losses)
    values = without_spikes(losses)
    start = np.median(values[: max(3, len(values) // 10)])
    fall = start - running_median(values).min()
    return np.minimum(values, start + 3 * noise + 0.25 * fall), noise


def _falls_clearly(values: np.ndarray, fit: np.ndarray, noise: float) -> bool:
    """Returns whether the values fall by more than noise alone would make them fall.

    For pure noise the sum of squares of the falling regression over the variance stays
    under 20 in at least 90 of 100 tests (simulated: 12 to 300 steps, Gaussian,
    heavy-tailed and growing noise).
    """
    lowest = int(np.argmin(fit))
    falling = falling_regression(values[: lowest + 1])
    squares = np.sum((falling - falling.mean()) ** 2)
    drop = falling[0] - falling[-1]
    visible = drop > 1e-6 * np.abs(fit).max()
    return bool(lowest >= 2 and visible and squares > 20 * noise**2)


def _replicas(
    values: np.ndarray, fit: np.ndarray, smoother: np.ndarray
) -> list[np.ndarray]:
    """Returns curves with the same fit and the residuals under random signs.

    Reference: Wu, 1986 (the wild bootstrap). https://doi.org/10.1214/aos/1176350142
    """
    random = np.random.default_rng(0)
    leverage = np.clip(np.diag(smoother), 0, 0.7)
    residuals = (values - fit) / np.sqrt(1 - leverage)
    signs = random.choice([-1.0, 1.0], size=(NUM_REPLICAS, len(values)))
    return list(fit + residuals * signs)


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values, kind="stable")
    share = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(share, 0.5 * share[-1])])


def _nothing_found(
    positions: np.ndarray, curve: np.ndarray, noise: float
) -> LearningRateSuggestions:
    return LearningRateSuggestions(
        suggestion=np.nan,
        interval=(np.nan, np.nan),
        rules=dict.fromkeys(WEIGHTS, np.nan),
        positions=positions,
        curve=curve,
        noise=noise,
        falling_at_end=False,
    )
