"""The trials of a search: read, sorted, and as lines of text."""

import json
import math
import os
import statistics
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_deeptools._arguments import message
from keras_deeptools._text_table import GAP, text_table
from keras_deeptools.tuning._trials.searched_trial import (
    SearchedTrial,
    read_records,
    recorded_objective,
)

OWNER = "search_report"

WIDTH = 100
"""Characters of a line of a table, unless a single column is wider."""

ORDER = ("completed", "stopped", "running", "invalid", "failed")


@dataclass(frozen=True)
class ReadSearch:
    """A search as it stands.

    Attributes:
        trials: Tuple of `SearchedTrial`, in the order in which they began.
        objective: Str, what the search looks for.
        direction: `"min"` or `"max"`.
        logarithmic: Hyperparameters that are searched on a logarithmic scale.
        tuner: Str, class of the tuner; empty where only its files are known.
        hypermodel: The tuner's, or None.
    """

    trials: tuple[SearchedTrial, ...]
    objective: str
    direction: str
    logarithmic: frozenset[str]
    tuner: str = ""
    hypermodel: Any = None


def read_search(search: Any) -> ReadSearch:
    """Reads a tuner, or the files of a project.

    Args:
        search: Tuner of KerasTuner, or the path of its project.
    """
    if isinstance(search, str | os.PathLike):
        return _read_project(Path(search))
    oracle = getattr(search, "oracle", None)
    if oracle is None:
        rule = "a tuner of KerasTuner, or the path of its project"
        raise TypeError(message(OWNER, "search", rule, search))
    trials = getattr(oracle, "trials", None)
    if trials is None:
        remedy = (
            "A worker does not know the others' trials: ask on the chief, or make a "
            "tuner with the same `directory` and `project_name` after the search."
        )
        raise ValueError(
            message(OWNER, "search", "one that has trials", search, remedy)
        )
    # A search that is still running adds to it.
    trials = dict(trials)
    _check_trials(trials, search)
    return ReadSearch(
        _searched(trials, oracle.start_order, Path(search.project_dir)),
        str(oracle.objective.name),
        oracle.objective.direction,
        _logarithmic(trials.values()),
        type(search).__name__,
        search.hypermodel,
    )


def _read_project(project: Path) -> ReadSearch:
    if not project.is_dir():
        rule = "a tuner or the folder of its project"
        raise ValueError(message(OWNER, "search", rule, str(project)))
    from keras_tuner.engine.trial import Trial

    files = sorted(project.glob("trial_*/trial.json"))
    trials = {trial.trial_id: trial for trial in map(Trial.load, map(str, files))}
    _check_trials(trials, str(project))
    told = [recorded_objective(file.parent) for file in files]
    objective = next((one for one in told if one is not None), None)
    if objective is None:
        rule = "a tuner where no trial was run with `fit_trial`"
        remedy = "The files do not tell what the search looks for."
        raise ValueError(message(OWNER, "search", rule, str(project), remedy))
    order = project / "oracle.json"
    begun = json.loads(order.read_text("utf-8")) if order.exists() else {}
    return ReadSearch(
        _searched(trials, begun.get("start_order", []), project),
        objective["name"],
        objective["direction"],
        _logarithmic(trials.values()),
    )


def _check_trials(trials: Any, search: Any) -> None:
    if trials:
        return
    remedy = (
        "Call its `search` first, or give the `directory` and `project_name` of a "
        "search that ran, without `overwrite`."
    )
    rule = "one that has at least one trial"
    raise ValueError(message(OWNER, "search", rule, search, remedy))


def _logarithmic(trials: Iterable[Any]) -> frozenset[str]:
    return frozenset(
        one.name
        for trial in trials
        for one in trial.hyperparameters.space
        if "log" in str(getattr(one, "sampling", ""))
    )


def _searched(
    trials: dict[str, Any], start_order: Iterable[str], project: Path
) -> tuple[SearchedTrial, ...]:
    """Every trial of a search, in the order in which they began."""
    records = {one: read_records(project / f"trial_{one}") for one in trials}
    order = [one for one in start_order if one in trials]
    order += sorted(set(trials) - set(order))
    # Where results are no histories, the step is 0 in all trials.
    has_epochs = any(records.values()) or any(one.best_step for one in trials.values())
    return tuple(
        _read(trials[one], number, records[one], has_epochs)
        for number, one in enumerate(order, 1)
    )


def _read(
    trial: Any, number: int, records: list[SearchedTrial], has_epochs: bool
) -> SearchedTrial:
    values = trial.hyperparameters.values
    known = {one.name for one in trial.hyperparameters.space}
    score = math.nan if trial.score is None else float(trial.score)
    status = str(trial.status).lower()
    if status == "completed" and any(one.status == "stopped" for one in records):
        status = "stopped"
    found = next((one for one in records if one.finding), SearchedTrial(""))
    before = int(values.get("tuner/initial_epoch", 0))
    has_best = has_epochs and math.isfinite(score) and trial.best_step is not None
    bracket, rung = values.get("tuner/bracket"), values.get("tuner/round")
    paces = _known(one.seconds_per_epoch for one in records)
    return SearchedTrial(
        trial_id=str(trial.trial_id),
        number=number,
        status=status,
        values={name: value for name, value in values.items() if name in known},
        score=score,
        # KerasTuner counts from where the round began.
        best_epoch=before + int(trial.best_step) + 1 if has_best else None,
        epochs=_largest(
            [one.epochs for one in records] or [values.get("tuner/epochs")]
        ),
        initial_epoch=records[-1].initial_epoch if records else before,
        planned_epochs=_largest(one.planned_epochs for one in records),
        started=min(_known(one.started for one in records), default=None),
        seconds=sum(one.seconds or 0.0 for one in records) if records else None,
        seconds_per_epoch=statistics.median(paces) if paces else None,
        seconds_saved=sum(one.seconds_saved for one in records),
        peak_memory=_largest(one.peak_memory for one in records),
        peak_device_memory=_largest(one.peak_device_memory for one in records),
        finding=found.finding,
        message=found.message,
        finding_epoch=found.finding_epoch,
        rung=None if bracket is None else (int(bracket), int(rung or 0)),
        parent=values.get("tuner/trial_id"),
        history=records[-1].history if records else {},
        executions=tuple(records),
    )


def _known(numbers: Iterable[Any]) -> list[Any]:
    return [number for number in numbers if number is not None]


def _largest(numbers: Iterable[Any]) -> Any:
    return max(_known(numbers), default=None)


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
    """Titles and cells; empty columns are left out.

    Args:
        trials: In the order of the lines.
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
    known = {*columns, *(name for trial in trials for name in trial.values)}
    for name in names:
        values = [shown(trial.values.get(name)) for trial in trials]
        columns[short_name(name, known)] = values
    return list(columns), [list(row) for row in zip(*columns.values(), strict=True)]


def short_name(name: str, known: Collection[str]) -> str:
    """The last parts of a hyperparameter's name, as many as tell it from others.

    Args:
        name: Str, its parts between slashes.
        known: All names.
    """
    parts = name.split("/")
    for count in range(1, len(parts)):
        short = "/".join(parts[-count:])
        alike = [each for each in known if f"/{each}".endswith(f"/{short}")]
        if len(alike) == 1:
            return short
    return name


def aligned(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The cells of each line in columns, an empty cell as a dash.

    What is wider than `WIDTH` goes on in further tables, which begin with the first
    column again.
    """
    lines = [list(titles), *([cell or "-" for cell in row] for row in rows)]
    blocks, width = [[0]], max(len(line[0]) for line in lines)
    for position in range(1, len(titles)):
        wide = len(GAP) + max(len(line[position]) for line in lines)
        if len(blocks[-1]) > 1 and width + wide > WIDTH:
            blocks.append([0])
            width = max(len(line[0]) for line in lines)
        blocks[-1].append(position)
        width += wide
    tables = []
    for block in blocks:
        head, *body = [[line[position] for position in block] for line in lines]
        tables.append(text_table(head, body, (0, 1) if block[1:2] == [1] else (0,)))
    return "\n\n".join(tables)


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
