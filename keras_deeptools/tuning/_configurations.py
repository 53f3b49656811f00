"""The configurations that a search has compared, each once."""

import math
from collections.abc import Sequence
from typing import Any

from keras_deeptools.tuning._searched_trial import SearchedTrial

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
