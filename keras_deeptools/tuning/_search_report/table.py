"""The trials of a search as rows of text."""

import math
from collections.abc import Sequence
from typing import Any

from keras_deeptools._text_table import text_table
from keras_deeptools.tuning._trials.searched_trial import SearchedTrial

ORDER = ("completed", "stopped", "running", "invalid", "failed")


def sorted_trials(
    trials: Sequence[SearchedTrial], maximize: bool
) -> list[SearchedTrial]:
    """The best first; those without a score at the end, running before failed.

    Args:
        trials: In any order.
        maximize: Bool, whether a larger score is better.
    """

    def place(trial: SearchedTrial) -> tuple[float, ...]:
        if trial.has_score:
            return (0, -trial.score if maximize else trial.score, trial.number)
        known = ORDER.index(trial.status) if trial.status in ORDER else len(ORDER)
        return (1, known, trial.number)

    return sorted(trials, key=place)


def rows_of(
    trials: Sequence[SearchedTrial], objective: str, names: Sequence[str]
) -> tuple[list[str], list[list[str]]]:
    """Titles and cells; columns that nobody filled are left out.

    Args:
        trials: In the order of the rows.
        objective: Str, what the score is called.
        names: Hyperparameters to show, in this order.
    """
    columns = {
        "trial": [trial.trial_id for trial in trials],
        "status": [trial.status for trial in trials],
        objective: [_number(trial.score) for trial in trials],
        "best epoch": [_count(trial.best_epoch) for trial in trials],
        "epochs": [_count(trial.epochs) for trial in trials],
        "bracket.round": [
            "{}.{}".format(*trial.rung) if trial.rung else "" for trial in trials
        ],
        "from": [trial.parent or "" for trial in trials],
        "seconds": [_seconds(trial.seconds) for trial in trials],
        "memory (MiB)": [_mebibytes(trial.peak_memory) for trial in trials],
        "device memory (MiB)": [
            _mebibytes(trial.peak_device_memory) for trial in trials
        ],
        "finding": [trial.finding for trial in trials],
    }
    optional = [name for name in columns if name not in ("trial", "status", objective)]
    for name in optional:
        if not any(columns[name]):
            del columns[name]
    for name in names:
        columns[name] = [shown(trial.values.get(name)) for trial in trials]
    return list(columns), [list(row) for row in zip(*columns.values(), strict=True)]


def aligned(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The rows as lines with columns, an empty cell as a dash."""
    return text_table(titles, [[cell or "-" for cell in row] for row in rows], (0, 1))


def shown(value: Any) -> str:
    """The value of a hyperparameter; empty where it was not active."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _number(value: float) -> str:
    return f"{value:.5g}" if math.isfinite(value) else ""


def _count(value: int | None) -> str:
    return "" if value is None else str(value)


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _mebibytes(value: int | None) -> str:
    return "" if value is None else f"{value / 2**20:.0f}"
