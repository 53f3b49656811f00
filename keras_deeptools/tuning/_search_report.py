"""Reads a search into a report."""

from dataclasses import replace
from typing import Any

from keras_deeptools.tuning._best_recipe import recipe
from keras_deeptools.tuning._search_reading import read_trials
from keras_deeptools.tuning._search_result import SearchReport


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
