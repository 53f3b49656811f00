"""The median stopping rule."""

import math
import statistics
from collections.abc import Iterable, Sequence


def median_of_others(others: Iterable[Sequence[float]], epochs: int) -> float | None:
    """The median of the running averages of other trials, up to an epoch.

    Golovin et al., 2017, section 3.2.2. Trials that were not trained as long do not
    count, nor do averages that are not finite.

    Args:
        others: For each other trial, its objective after each epoch.
        epochs: Int >= 1, how many of them.

    Returns:
        Float, or None where no trial counts.
    """
    averages = [
        statistics.fmean(values[:epochs]) for values in others if len(values) >= epochs
    ]
    averages = [average for average in averages if math.isfinite(average)]
    return statistics.median(averages) if averages else None


def best_of(values: Iterable[float], direction: str) -> float:
    """The best finite value; NaN where none is finite.

    Args:
        values: A trial's objective after each epoch.
        direction: `"min"` or `"max"`.
    """
    finite = [value for value in values if math.isfinite(value)]
    choose = min if direction == "min" else max
    return choose(finite) if finite else math.nan


def is_worse(value: float, reference: float, direction: str) -> bool:
    """Whether a value is on the wrong side of another; NaN is.

    Args:
        value: Float.
        reference: Float.
        direction: `"min"` or `"max"`.
    """
    return not (value <= reference if direction == "min" else value >= reference)
