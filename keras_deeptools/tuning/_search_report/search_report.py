"""Reads a search into a report."""

import math
from dataclasses import replace
from typing import Any

from keras_deeptools._arguments import message
from keras_deeptools.tuning._search_report.best_recipe import recipe
from keras_deeptools.tuning._search_report.result import SearchReport
from keras_deeptools.tuning._search_report.searched_trial import SearchedTrial
from keras_deeptools.tuning._trials.record import TrialRecord
from keras_deeptools.tuning._trials.records import trial_records

OWNER = "search_report"


def read_trials(tuner: Any) -> tuple[SearchedTrial, ...]:
    """Every trial of a search, in the order in which they began.

    Args:
        tuner: Tuner of KerasTuner.
    """
    oracle = getattr(tuner, "oracle", None)
    if oracle is None:
        raise TypeError(message(OWNER, "tuner", "a tuner of KerasTuner", tuner))
    trials = getattr(oracle, "trials", None)
    if trials is None:
        remedy = (
            "A worker does not know the others' trials: ask on the chief, or make a "
            "tuner with the same `directory` and `project_name` after the search."
        )
        raise ValueError(message(OWNER, "tuner", "one that has trials", tuner, remedy))
    # A search that goes on meanwhile adds to it.
    trials = dict(trials)
    if not trials:
        remedy = (
            "Call its `search` first, or give the `directory` and `project_name` of a "
            "search that ran, without `overwrite`."
        )
        rule = "one that has at least one trial"
        raise ValueError(message(OWNER, "tuner", rule, tuner, remedy))
    records: dict[str, list[TrialRecord]] = {}
    for record in trial_records(tuner):
        records.setdefault(record.trial_id, []).append(record)
    order = [one for one in oracle.start_order if one in trials]
    order += sorted(set(trials) - set(order))
    # Where results are no histories, the step is 0 in all trials.
    has_epochs = bool(records) or any(trial.best_step for trial in trials.values())
    return tuple(
        _read(trials[one], number, records.get(one, []), has_epochs)
        for number, one in enumerate(order, 1)
    )


def _read(
    trial: Any, number: int, records: list[TrialRecord], has_epochs: bool
) -> SearchedTrial:
    values = trial.hyperparameters.values
    known = {one.name for one in trial.hyperparameters.space}
    score = math.nan if trial.score is None else float(trial.score)
    status = str(trial.status).lower()
    if status == "completed" and any(one.status == "stopped" for one in records):
        status = "stopped"
    trained = [one.initial_epoch + one.epochs for one in records]
    found = next((one for one in records if one.finding), None)
    before = int(values.get("tuner/initial_epoch", 0))
    has_best = has_epochs and math.isfinite(score) and trial.best_step is not None
    bracket, rung = values.get("tuner/bracket"), values.get("tuner/round")
    return SearchedTrial(
        trial_id=str(trial.trial_id),
        number=number,
        status=status,
        values={name: value for name, value in values.items() if name in known},
        score=score,
        # KerasTuner counts from where the round began.
        best_epoch=before + int(trial.best_step) + 1 if has_best else None,
        epochs=max(trained, default=values.get("tuner/epochs")),
        seconds=sum(one.seconds for one in records) if records else None,
        started=min((one.started for one in records), default=None),
        peak_memory=_largest(one.peak_memory for one in records),
        peak_device_memory=_largest(one.peak_device_memory for one in records),
        finding=found.finding if found else "",
        rung=None if bracket is None else (int(bracket), int(rung or 0)),
        parent=values.get("tuner/trial_id"),
    )


def _largest(numbers: Any) -> int | None:
    return max((number for number in numbers if number is not None), default=None)


def search_report(tuner: Any) -> SearchReport:
    """Tells what a search has found: trials, what mattered, and the best as code.

    Works while the search is running, after it, and on a tuner that was made again with
    the same `directory` and `project_name`; on the chief of a distributed search.

    Args:
        tuner: Any tuner of KerasTuner, with at least one trial.

    Returns:
        `SearchReport`, with `.table()`, `.plot()`, `.best_recipe()` and `.save(path)`.
        It is a copy: later trials are not in it.

    Raises:
        TypeError: If `tuner` is no tuner.
        ValueError: If it has no trial, or is a worker's.

    Example:

    >>> import keras, keras_tuner, numpy as np
    >>> from keras_deeptools.tuning import search_report
    >>> def build(hp):
    ...     units = hp.Int("units", 1, 2)
    ...     dense = [keras.layers.Dense(units), keras.layers.Dense(1)]
    ...     model = keras.Sequential([keras.Input((2,)), *dense])
    ...     model.compile("sgd", "mse")
    ...     return model
    >>> tuner = keras_tuner.GridSearch(build, "loss", directory="search")
    >>> tuner.search(np.ones((8, 2)), np.ones((8, 1)), verbose=0)
    >>> report = search_report(tuner)
    >>> len(report.trials), sorted(report.best.values)
    (2, ['units'])
    >>> report.best_recipe().splitlines()[-1]
    '    return hypermodel.fit(hp, model, *args, **kwargs)'
    """
    trials = read_trials(tuner)
    goal = tuner.oracle.objective
    space = tuner.oracle.get_space().space
    report = SearchReport(
        trials=trials,
        objective=str(goal.name),
        maximize=goal.direction == "max",
        tuner=type(tuner).__name__,
        logarithmic=frozenset(
            one.name for one in space if "log" in str(getattr(one, "sampling", ""))
        ),
    )
    if not report.ranked[0].has_score:
        return report
    text = recipe(report.best, tuner.hypermodel, report.objective, len(trials))
    return replace(report, recipe=text)
