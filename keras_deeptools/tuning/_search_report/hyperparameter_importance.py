"""How much of the differences between trials each hyperparameter explains."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from keras_deeptools.tuning._trials.searched_trial import SearchedTrial

FEWEST = 6
"""Configurations with a value from which on a share is computed."""

NUM_SHUFFLES = 2000
LEVEL = 0.05
FEW_VALUES = 3
"""Distinct numbers up to which each has an effect of its own."""


@dataclass(frozen=True)
class HyperparameterImportance:
    """How much one hyperparameter explains by itself; made by `search_report`.

    Attributes:
        name: Str.
        share: Float in [0, 1], share of the variance of the trials' ranks that it
            explains, beyond what as many random numbers would.
        chance: Float in [0, 1], the value under which `share` would stay nineteen times
            in twenty if the hyperparameter had no effect.
        p_value: Float in (0, 1], how often shuffled results gave as large a share.
        is_clear: Bool, whether `share` differs from chance at the level of 5%, all
            hyperparameters taken together (Holm).
        num_trials: Int, the configurations in which it was active.

    Example:

    >>> from keras_deeptools.tuning import HyperparameterImportance
    >>> found = HyperparameterImportance("learning_rate", 0.6, 0.2, 0.0005, True, 20)
    >>> found.share > found.chance
    True
    """

    name: str
    share: float
    chance: float
    p_value: float
    is_clear: bool
    num_trials: int


def importances(
    values: Mapping[str, Sequence[Any]], results: Sequence[float], groups: Sequence[Any]
) -> tuple[HyperparameterImportance, ...]:
    """The importance of each hyperparameter, the largest share first.

    The results are replaced by their ranks within their group. On the ranks of a
    hyperparameter's numbers a parabola is fitted, so that a best value in the middle
    counts, too; of categories, and of up to three numbers, the means are taken. The
    share of the variance that this explains is compared with those of 2000 shuffles of
    the results within the groups (seeded).

    Args:
        values: Dict from a name to its values, None where it was not active.
        results: Numbers, larger is better; -inf for what failed.
        groups: What results may be compared within, one for each.
    """
    labels = np.unique(np.array([str(group) for group in groups]), return_inverse=True)[
        1
    ]
    ranks = np.zeros(len(results))
    for label in set(labels.tolist()):
        ranks[labels == label] = _centered_ranks(
            np.asarray(results, float)[labels == label]
        )
    found = [
        one
        for name, column in values.items()
        if (one := _share(name, column, ranks, labels)) is not None
    ]
    found.sort(key=lambda one: (-one.share, one.p_value))
    by_p = sorted(found, key=lambda one: one.p_value)
    clear = set()
    for index, one in enumerate(by_p):
        if one.p_value * (len(by_p) - index) >= LEVEL:
            break
        clear.add(one.name)
    return tuple(
        HyperparameterImportance(**vars(one) | {"is_clear": one.name in clear})
        for one in found
    )


def _share(
    name: str, column: Sequence[Any], ranks: np.ndarray, labels: np.ndarray
) -> HyperparameterImportance | None:
    active = np.array([value is not None for value in column])
    if active.sum() < FEWEST:
        return None
    effects = _effects([value for value in column if value is not None])
    y, label = ranks[active], labels[active]
    y = y - y.mean()
    if effects.shape[1] == 0 or effects.shape[1] + 2 > len(y) or not np.any(y):
        return None
    random = np.random.default_rng(0)
    shuffled = np.empty((len(y), NUM_SHUFFLES))
    for one in np.unique(label):
        rows = np.flatnonzero(label == one)
        order = random.random((len(rows), NUM_SHUFFLES)).argsort(axis=0)
        shuffled[rows] = y[rows][order]
    explained = np.sum((effects.T @ y) ** 2) / np.sum(y**2)
    by_chance = np.sum((effects.T @ shuffled) ** 2, axis=0) / np.sum(y**2)
    mean = by_chance.mean()

    def beyond(share: float) -> float:
        return float(np.clip((share - mean) / (1 - mean), 0, 1)) if mean < 1 else 0.0

    count = np.sum(by_chance >= explained - 1e-12)
    return HyperparameterImportance(
        name=name,
        share=beyond(explained),
        chance=beyond(np.quantile(by_chance, 1 - LEVEL)),
        p_value=float((1 + count) / (1 + NUM_SHUFFLES)),
        is_clear=False,
        num_trials=int(active.sum()),
    )


def _effects(values: list[Any]) -> np.ndarray:
    """Orthonormal columns, without a constant, that the ranks are explained by."""
    distinct = list(dict.fromkeys(values))
    if is_numeric(values) and len(distinct) > FEW_VALUES:
        line = _centered_ranks(np.asarray(values, float))
        columns = np.stack([line, line**2], axis=1)
    else:
        columns = np.array(
            [[value == one for one in distinct] for value in values], float
        )
    columns = columns - columns.mean(axis=0)
    left, sizes, _ = np.linalg.svd(columns, full_matrices=False)
    return left[:, sizes > 1e-9 * max(sizes.max(initial=0), 1e-300)]


def is_numeric(values: Sequence[Any]) -> bool:
    """Whether all are numbers, and none is True or False."""
    return all(isinstance(one, Real) and not isinstance(one, bool) for one in values)


def _centered_ranks(values: np.ndarray) -> np.ndarray:
    """From -1/2 to 1/2, equal ones at their mean."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - counts / 2)[place] / len(values) - 0.5


Configuration = tuple[SearchedTrial, float, Any]


def configurations(
    trials: Sequence[SearchedTrial], maximize: bool
) -> list[Configuration]:
    """Trials that can be compared, with a number that ranks them, and their group.

    Larger is better; failed trials are -inf. With Hyperband, a configuration is taken
    in the last round that it reached, and one that reached a later round is better
    than those of its bracket that did not.

    Args:
        trials: All trials of a search.
        maximize: Bool, whether a larger score is better.
    """
    followed = {trial.parent for trial in trials if trial.parent and trial.has_score}
    found = []
    for trial in trials:
        if trial.trial_id in followed or not (trial.has_score or _has_failed(trial)):
            continue
        if trial.parent and not trial.has_score:
            # It had a result, in the round before.
            continue
        found.append(trial)
    scored = [trial.score for trial in found if trial.has_score]
    order = {score: place for place, score in enumerate(sorted(set(scored)))}
    rows = []
    for trial in found:
        result = -math.inf
        if trial.has_score:
            place = order[trial.score]
            result = float(place if maximize else -place)
            result += 2 * len(order) * (trial.rung[1] if trial.rung else 0)
        rows.append((trial, result, trial.rung[0] if trial.rung else None))
    return rows


def _has_failed(trial: SearchedTrial) -> bool:
    return trial.status == "failed"
