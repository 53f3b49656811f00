"""Statistics that are kept of the samples of one output."""

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Moments:
    """Mean and sum of squared deviations of samples, for every input.

    Attributes:
        mean: Float64 array `(inputs, ...)`.
        squares: Float64 array `(inputs, ...)`, sum of squared deviations from the mean.
    """

    mean: np.ndarray
    squares: np.ndarray


def moments_of(samples: np.ndarray) -> Moments:
    """Returns moments over axis 1 of `(inputs, samples, ...)`, in double precision."""
    samples = samples.astype(np.float64)
    mean = samples.mean(axis=1)
    samples -= mean[:, None]
    return Moments(mean, np.square(samples, out=samples).sum(axis=1))


def merged(first: Moments, n: int, second: Moments, m: int) -> Moments:
    """Returns the moments of `n` and `m` samples together.

    Reference:
        Chan, Golub & LeVeque, 1983, equations 2.1. The American Statistician 37(3).
    """
    step = second.mean - first.mean
    mean = first.mean + step * (m / (n + m))
    squares = first.squares + second.squares + np.square(step) * (n * m / (n + m))
    return Moments(mean, squares)


CATEGORICAL = "categorical"
BERNOULLI = "Bernoulli"
VALUES = "values"
TOLERANCE = 1e-3
LOW_PRECISION_TOLERANCE = 2e-2


def kind_of(samples: np.ndarray) -> str:
    """Returns what outputs `(inputs, samples, ...)` are, judging by their values.

    `"categorical"` if the last of two or more axes sums to one, `"Bernoulli"` if all
    values are in [0, 1], else `"values"`.
    """
    tolerance = TOLERANCE if samples.dtype.itemsize > 2 else LOW_PRECISION_TOLERANCE
    if not ((samples >= 0) & (samples <= 1 + tolerance)).all():
        return VALUES
    if samples.ndim > 2 and samples.shape[-1] > 1:
        totals = samples.sum(axis=-1, dtype=np.float64)
        if (np.abs(totals - 1) <= tolerance).all():
            return CATEGORICAL
    return BERNOULLI if (samples <= 1).all() else VALUES


def entropy(probabilities: np.ndarray, kind: str) -> np.ndarray:
    """Returns the entropy over the last axis if categorical, else of every element."""
    p = np.clip(probabilities.astype(np.float64), 0, 1)
    if kind == CATEGORICAL:
        return -_p_log_p(p).sum(axis=-1)
    return -_p_log_p(p) - _p_log_p(1 - p)


def votes(probabilities: np.ndarray, kind: str) -> np.ndarray:
    """Counts how many samples (axis 1) choose each class, or choose "yes"."""
    if kind == BERNOULLI:
        return (probabilities >= 0.5).sum(axis=1)
    chosen = probabilities.argmax(axis=-1)
    classes = range(probabilities.shape[-1])
    return np.stack([(chosen == c).sum(axis=1) for c in classes], axis=-1)


def _p_log_p(p: np.ndarray) -> np.ndarray:
    return p * np.log(np.where(p > 0, p, 1.0))


@dataclass(frozen=True)
class OutputStatistics:
    """Running statistics of one output; the first axis of all arrays is the inputs'.

    Attributes:
        kind: `"categorical"`, `"Bernoulli"` or `"values"`.
        mean: Float64 array `(inputs, ...)`.
        squares: Float64 array, sums of squared deviations from the mean.
        entropy_mean: Mean entropy of the samples; None for `"values"`.
        entropy_squares: Sums of squared deviations from it.
        votes: Int array, the number of samples that choose each class (or "yes").
    """

    kind: str
    mean: np.ndarray
    squares: np.ndarray
    entropy_mean: Any = None
    entropy_squares: Any = None
    votes: Any = None


def statistics_of(samples: np.ndarray) -> OutputStatistics:
    """Returns the statistics of samples `(inputs, samples, ...)`."""
    moments = moments_of(samples)
    kind = kind_of(samples)
    if kind == VALUES:
        return OutputStatistics(kind, moments.mean, moments.squares)
    entropies = moments_of(entropy(samples, kind))
    return OutputStatistics(
        kind,
        moments.mean,
        moments.squares,
        entropies.mean,
        entropies.squares,
        votes(samples, kind),
    )


def joined(
    first: OutputStatistics, n: int, second: OutputStatistics, m: int
) -> OutputStatistics:
    """Returns the statistics of `n` and `m` samples of the same inputs."""
    first, second = _alike(first, second)
    moments = merged(
        Moments(first.mean, first.squares), n, Moments(second.mean, second.squares), m
    )
    result = replace(first, mean=moments.mean, squares=moments.squares)
    if first.kind == VALUES:
        return result
    entropies = merged(
        Moments(first.entropy_mean, first.entropy_squares),
        n,
        Moments(second.entropy_mean, second.entropy_squares),
        m,
    )
    return replace(
        result,
        entropy_mean=entropies.mean,
        entropy_squares=entropies.squares,
        votes=first.votes + second.votes,
    )


def stacked(parts: list[OutputStatistics]) -> OutputStatistics:
    """Returns the statistics of the inputs of all parts, one after another."""
    parts = list(_alike(*parts))
    return _mapped(lambda *arrays: np.concatenate(arrays), *parts)


def in_one(runs: list[list[OutputStatistics]]) -> list[Any]:
    """Returns for each output the statistics of all inputs, or a list by shape.

    Args:
        runs: For inputs of each length or size the statistics of every output.
    """
    found: list[Any] = []
    for parts in zip(*runs, strict=True):
        if len({part.mean.shape[1:] for part in parts}) == 1:
            found.append(stacked(list(parts)))
        else:
            found.append(list(_alike(*parts)))
    return found


def rows_of(statistics: OutputStatistics, rows: Any) -> OutputStatistics:
    """Returns the statistics of some of the inputs."""
    return _mapped(lambda array: array[rows], statistics)


def with_rows(
    statistics: OutputStatistics, rows: np.ndarray, new: OutputStatistics
) -> OutputStatistics:
    """Returns the statistics with `new` in the place of those about `rows`."""

    def put(array: np.ndarray, values: np.ndarray) -> np.ndarray:
        array = array.copy()
        array[rows] = values
        return array

    return _mapped(put, *_alike(statistics, new))


def _alike(*parts: OutputStatistics) -> tuple[OutputStatistics, ...]:
    """Returns the parts, all of one kind: probabilities only if all agree."""
    kinds = {part.kind for part in parts}
    if len(kinds) == 1:
        return parts
    return tuple(OutputStatistics(VALUES, part.mean, part.squares) for part in parts)


def _mapped(function: Any, *parts: OutputStatistics) -> OutputStatistics:
    names = [field.name for field in fields(OutputStatistics)[1:]]
    values: dict[str, Any] = {}
    for name in names:
        arrays = [getattr(part, name) for part in parts]
        values[name] = None if arrays[0] is None else function(*arrays)
    return OutputStatistics(parts[0].kind, **values)


NUM_ERRORS = 3.3
"""Standard errors that a difference must exceed: 0.1% at each of a few checks."""


def decided(statistics: OutputStatistics, counts: np.ndarray) -> np.ndarray:
    """Returns whether more samples would hardly change the conclusion for each input.

    Args:
        statistics: The statistics of all inputs.
        counts: Int array `(inputs,)`, samples so far.

    Returns:
        Bool array `(inputs,)`. For probabilities: the class is certain, at every
        position. For values: the place of the input in the ranking of all inputs by
        their mean is certain, in every element.
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
    """Returns whether no other mean can reach the largest one."""
    best = mean.argmax(axis=-1)[..., None]
    lowest = np.take_along_axis(mean - margin, best, axis=-1)[..., 0]
    others = mean + margin
    np.put_along_axis(others, best, -np.inf, axis=-1)
    return lowest > others.max(axis=-1)


def _stands_alone(mean: np.ndarray, margin: np.ndarray) -> np.ndarray:
    """Returns whether the interval of each mean overlaps with no other one."""
    order = np.argsort(mean)
    low, high = (mean - margin)[order], (mean + margin)[order]
    reached = np.maximum.accumulate(np.concatenate([[-np.inf], high[:-1]]))
    coming = np.minimum.accumulate(np.concatenate([[np.inf], low[:0:-1]]))[::-1]
    alone = np.empty(len(mean), dtype=bool)
    alone[order] = (low > reached) & (high < coming)
    return alone
