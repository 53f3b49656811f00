"""Which rows need no more samples."""

import numpy as np

from keras_deeptools.uncertainty._entropy import BERNOULLI, CATEGORICAL
from keras_deeptools.uncertainty._output_statistics import OutputStatistics

NUM_ERRORS = 3.3
"""Standard errors that a difference must exceed: 0.1% at each of a few looks."""


def decided(statistics: OutputStatistics, counts: np.ndarray) -> np.ndarray:
    """Whether more samples would hardly change what is concluded about each row.

    Args:
        statistics: Of all rows.
        counts: Int array `(rows,)`, samples so far.

    Returns:
        Bool array `(rows,)`. For probabilities: the class is certain, at every
        position. For values: the place of the row in the ranking of all rows by their
        mean is certain, in every element.
    """
    rows = len(counts)
    mean = statistics.mean.reshape(rows, -1)
    n = counts[:, None]
    variance = statistics.squares.reshape(rows, -1) / np.maximum(n - 1, 1)
    margin = NUM_ERRORS * np.sqrt(variance / n)
    if statistics.kind == BERNOULLI:
        certain = np.abs(mean - 0.5) > margin
    elif statistics.kind == CATEGORICAL:
        num_classes = statistics.mean.shape[-1]
        certain = _leads(
            mean.reshape(rows, -1, num_classes), margin.reshape(rows, -1, num_classes)
        )
    else:
        certain = np.stack(
            [_stands_alone(m, e) for m, e in zip(mean.T, margin.T, strict=True)], axis=1
        )
    return certain.all(axis=1)


def _leads(mean: np.ndarray, margin: np.ndarray) -> np.ndarray:
    """Whether the largest mean is out of reach of every other one."""
    best = mean.argmax(axis=-1)[..., None]
    lowest = np.take_along_axis(mean - margin, best, axis=-1)[..., 0]
    others = mean + margin
    np.put_along_axis(others, best, -np.inf, axis=-1)
    return lowest > others.max(axis=-1)


def _stands_alone(mean: np.ndarray, margin: np.ndarray) -> np.ndarray:
    """Whether the interval of each mean meets no other one."""
    order = np.argsort(mean)
    low, high = (mean - margin)[order], (mean + margin)[order]
    reached = np.maximum.accumulate(np.concatenate([[-np.inf], high[:-1]]))
    coming = np.minimum.accumulate(np.concatenate([[np.inf], low[:0:-1]]))[::-1]
    alone = np.empty(len(mean), dtype=bool)
    alone[order] = (low > reached) & (high < coming)
    return alone
