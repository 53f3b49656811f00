"""What is kept of the samples of one output."""

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from keras_deeptools.uncertainty._entropy import VALUES, entropy, kind_of, votes
from keras_deeptools.uncertainty._moments import Moments, merged, moments_of


@dataclass(frozen=True)
class OutputStatistics:
    """Running statistics of one output; all arrays begin with the axis of rows.

    Attributes:
        kind: `"categorical"`, `"Bernoulli"` or `"values"`.
        mean: Float64 array `(rows, ...)`.
        squares: Float64 array, sums of squared deviations from the mean.
        entropy_mean: Mean entropy of the samples; None for `"values"`.
        entropy_squares: Sums of squared deviations from it.
        votes: Int array, samples that choose each class (or "yes").
    """

    kind: str
    mean: np.ndarray
    squares: np.ndarray
    entropy_mean: Any = None
    entropy_squares: Any = None
    votes: Any = None


def statistics_of(samples: np.ndarray) -> OutputStatistics:
    """Statistics of samples `(rows, samples, ...)`."""
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
    """Statistics of `n` and `m` samples of the same rows."""
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
    """Statistics of the rows of all parts, one after another."""
    parts = list(_alike(*parts))
    return _mapped(lambda *arrays: np.concatenate(arrays), *parts)


def in_one(runs: list[list[OutputStatistics]]) -> list[Any]:
    """For each output the statistics of all rows, or a list of them for each shape.

    Args:
        runs: For rows of each length or size the statistics of every output.
    """
    found: list[Any] = []
    for parts in zip(*runs, strict=True):
        if len({part.mean.shape[1:] for part in parts}) == 1:
            found.append(stacked(list(parts)))
        else:
            found.append(list(_alike(*parts)))
    return found


def rows_of(statistics: OutputStatistics, rows: Any) -> OutputStatistics:
    """Statistics of some of the rows."""
    return _mapped(lambda array: array[rows], statistics)


def with_rows(
    statistics: OutputStatistics, rows: np.ndarray, new: OutputStatistics
) -> OutputStatistics:
    """Statistics with `new` in place of what they say about `rows`."""

    def put(array: np.ndarray, values: np.ndarray) -> np.ndarray:
        array = array.copy()
        array[rows] = values
        return array

    return _mapped(put, *_alike(statistics, new))


def _alike(*parts: OutputStatistics) -> tuple[OutputStatistics, ...]:
    """The parts, all of one kind: probabilities only where all agree."""
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
