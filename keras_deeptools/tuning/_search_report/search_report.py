"""What a search has found: trials, what mattered, and the best as code."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

from keras_deeptools._text_table import NotebookText, data_frame
from keras_deeptools.tuning._search_report.best_recipe import recipe
from keras_deeptools.tuning._search_report.hyperparameter_importance import (
    FEWEST,
    HyperparameterImportance,
    configurations,
    importances,
)
from keras_deeptools.tuning._search_report.page import plot_search, search_page
from keras_deeptools.tuning._search_report.trials import (
    aligned,
    read_search,
    rows_of,
    sorted_trials,
)
from keras_deeptools.tuning._trials.searched_trial import SearchedTrial

FEW = 15
"""Configurations up to which a note says that they are few."""


@dataclass(frozen=True, eq=False)
class SearchReport(NotebookText):
    """The trials of a search and their analysis; made by `search_report`.

    Attributes:
        trials: Tuple of `SearchedTrial`, in the order in which they began.
        objective: Str, name of the search's objective.
        maximize: Bool, whether a larger score is better.
        tuner: Str, class of the tuner.
        logarithmic: Frozenset of hyperparameters that are searched on a logarithmic
            scale.
        recipe: Str, what `best_recipe` returns; empty without a completed trial.

    Example:

    >>> from keras_deeptools.tuning import SearchedTrial, SearchReport
    >>> trials = [
    ...     SearchedTrial("0", 1, "completed", {"units": 16, "bias": True}, score=0.8),
    ...     SearchedTrial("1", 2, "completed", {"units": 64, "bias": True}, score=0.9),
    ...     SearchedTrial("2", 3, "failed", {"units": 99, "bias": True}),
    ... ]
    >>> print(SearchReport(tuple(trials), "val_accuracy", True).table())
    trial  status     val_accuracy  units
    1      completed           0.9     64
    0      completed           0.8     16
    2      failed                -     99
    The same in all: bias=True
    """

    trials: tuple[SearchedTrial, ...]
    objective: str
    maximize: bool
    tuner: str = ""
    logarithmic: frozenset[str] = frozenset()
    recipe: str = field(default="", repr=False)

    @property
    def ranked(self) -> list[SearchedTrial]:
        """The trials, the best first; those without a score at the end."""
        return sorted_trials(self.trials, self.maximize)

    @property
    def best(self) -> SearchedTrial:
        """The trial with the best score."""
        first = self.ranked[0]
        if not first.has_score:
            states = ", ".join(sorted({trial.status for trial in self.trials}))
            raise ValueError(
                f"SearchReport: `best` must be a trial that completed with a score. "
                f"Received: {len(self.trials)} trials, {states}. Search on, or see "
                "why they failed: `tuner.oracle.trials[...].message`."
            )
        return first

    @property
    def seconds(self) -> float:
        """Time that all trials took together, as far as it was recorded."""
        return sum(trial.seconds or 0.0 for trial in self.trials)

    @property
    def seconds_saved(self) -> float:
        """Estimate of the time saved by ending trials early."""
        return sum(trial.seconds_saved for trial in self.trials)

    @property
    def peak_memory(self) -> int | None:
        """Most bytes of main memory in any trial; None if none is known."""
        known = (trial.peak_memory for trial in self.trials)
        return max((each for each in known if each is not None), default=None)

    @property
    def constant(self) -> dict[str, Any]:
        """Values of the hyperparameters that are the same in all trials."""
        return {
            name: values[0]
            for name, values in self._columns(self.trials).items()
            if None not in values and len(set(values)) == 1 and len(self.trials) > 1
        }

    @property
    def varied(self) -> list[str]:
        """The other hyperparameters, the most important first."""
        names = [one.name for one in self.importance]
        every = [
            name for name in self._columns(self.trials) if name not in self.constant
        ]
        return [*names, *(name for name in every if name not in names)]

    @property
    def configurations(self) -> list[SearchedTrial]:
        """Trials that can be compared: each configuration once, completed or failed.

        With Hyperband, a configuration is taken in the last round that it reached.
        """
        return [trial for trial, *_ in configurations(self.trials, self.maximize)]

    @cached_property
    def importance(self) -> tuple[HyperparameterImportance, ...]:
        """How much each hyperparameter explains by itself, the most important first.

        The measure is the share of the variance of the trials' ranks that a
        hyperparameter explains: with a parabola over the ranks of its numbers, or with
        the means of its categories, over the trials in which it was active. The share
        that shuffled results have is subtracted, and `is_clear` tells whether the
        difference is significant. Trials that failed count as the worst; with
        Hyperband, those of a bracket are compared by the round that they reached, then
        by score.

        The measure shows which hyperparameters, each alone, went along with good
        results in this search, over the ranges that were searched. It does not show
        pairs that matter only together, which one of two that the tuner changed
        together (as Bayesian optimization does) is the cause, or anything about values
        that were not tried. With fewer than six configurations the list is empty, and
        with twenty only large effects are clear.
        """
        found = configurations(self.trials, self.maximize)
        if len(found) < FEWEST:
            return ()
        trials, results, groups = zip(*found, strict=True)
        return importances(self._columns(trials), results, groups)

    @property
    def ends(self) -> list[tuple[float, float]]:
        """Seconds from the first trial's beginning to each trial's end, and scores.

        Only trials whose time was recorded are included, in the order of their ends.
        """
        known = [
            trial
            for trial in self.trials
            if trial.started and trial.seconds is not None
        ]
        begin = min((trial.started or 0.0 for trial in known), default=0.0)
        ends = [
            ((trial.started or 0.0) + (trial.seconds or 0.0) - begin, trial.score)
            for trial in known
            if trial.has_score
        ]
        return sorted(ends)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the numbers should know, one string for each remark."""
        notes = []
        states = [trial.status for trial in self.trials]
        for state, text in (("running", "running or cut off"), ("failed", "failed")):
            if state in states:
                notes.append(f"{states.count(state)} of {len(states)} trials {text}.")
        count = len(self.configurations)
        if count < FEWEST:
            notes.append(
                f"{count} configurations can be compared: too few to tell which "
                "hyperparameters matter."
            )
        elif count < FEW:
            notes.append(
                f"Only {count} configurations: what is not clear may matter all the "
                "same."
            )
        if any(trial.rung for trial in self.trials):
            notes.append(
                "Scores of different rungs are of different numbers of epochs; one "
                "configuration stands in several rungs."
            )
        return tuple(notes)

    def table(self, num_trials: int | None = None) -> str:
        """The trials with scores and hyperparameters, the best first.

        Args:
            num_trials: Int or None, how many of them to list; None for all.
        """
        shown = self.ranked[:num_trials]
        lines = [aligned(*rows_of(shown, self.objective, self.varied))]
        if self.constant:
            same = ", ".join(f"{name}={value}" for name, value in self.constant.items())
            lines.append(f"The same in all: {same}")
        return "\n".join(lines)

    def best_recipe(self) -> str:
        """The best trial as Python code.

        The code makes the hyperparameters (`hp`), the hypermodel and the model, and
        defines `train`, which fits the model with the trial's callbacks and epochs. It
        runs by itself: a model that was searched is written out as JSON, a function of
        your script as its source, and everything else is imported. Objects for which
        neither is possible, such as a `HyperModel` class of your script or a model with
        lambdas, must be defined before; the first lines name them.

        Raises:
            ValueError: If no trial has completed.
        """
        return self.recipe if self.best else ""

    def plot(self, path: str | PathLike[str] | None = None) -> Any:
        """Draws hyperparameters against scores, importance, and progress.

        Args:
            path: Str, path or None, picture file to write.

        Returns:
            `matplotlib.figure.Figure`.

        Raises:
            ImportError: If matplotlib is not installed.
            ValueError: If no trial has completed.
        """
        return plot_search(self, path)

    def save(self, path: str | PathLike[str], title: str | None = None) -> Path:
        """Writes one HTML page with charts, table and recipe.

        Args:
            path: Str or path of a file that ends in .html. Missing folders are made; an
                existing file is replaced, whole or not at all.
            title: Str, or None for a title that names the objective.

        Returns:
            The `pathlib.Path` of the file.

        Raises:
            ValueError: If `path` is a folder or does not end in .html.
            ImportError: If matplotlib is not installed.
        """
        return search_page(self, path, title)

    def to_dataframe(self) -> Any:
        """The trials, the best first, one line for each.

        Returns:
            `pandas.DataFrame` with `trial`, `number`, `status`, `score`, `best_epoch`,
            `epochs`, `seconds`, `finding` and a column for each hyperparameter.

        Raises:
            ImportError: If pandas is not installed.
        """
        facts = ("number", "status", "score", "best_epoch", "epochs", "seconds")
        names = dict.fromkeys(name for trial in self.ranked for name in trial.values)
        columns = {
            "trial": [trial.trial_id for trial in self.ranked],
            **{f: [getattr(trial, f) for trial in self.ranked] for f in facts},
            "finding": [trial.finding for trial in self.ranked],
            **{n: [trial.values.get(n) for trial in self.ranked] for n in names},
        }
        return data_frame("SearchReport", columns)

    def __str__(self) -> str:
        lines = [f"{len(self.trials)} trials.", *self.notes, self.table()]
        lines += [
            f"trial {trial.trial_id}: {trial.message}"
            for trial in self.trials
            if trial.message
        ]
        lines += self._time()
        lines += [
            f"{one.name} explains {one.share:.0%}"
            for one in self.importance
            if one.is_clear
        ]
        return "\n".join(lines)

    def _time(self) -> list[str]:
        """What is known of time, and of how trials ended."""
        known = [one for trial in self.trials for one in trial.executions]
        if not known:
            return []
        stopped, failed = (
            sum(one.status == status for one in known)
            for status in ("stopped", "failed")
        )
        return [
            f"{len(known)} executions in {self.seconds:.1f} s; {stopped} stopped and "
            f"{failed} failed early, which saved about {self.seconds_saved:.1f} s."
        ]

    def _columns(self, trials: Any) -> dict[str, list[Any]]:
        names = dict.fromkeys(name for trial in self.trials for name in trial.values)
        return {name: [trial.values.get(name) for trial in trials] for name in names}


def search_report(search: Any) -> SearchReport:
    """Reports on a search: its trials, what mattered, and the best trial as code.

    The function works while the search is running and after it, on a tuner that was
    made again with the same `directory` and `project_name`, and on the chief of a
    distributed search. From the files alone, without the script of the search, it works
    for trials that `DeepHyperModel`, `TransferHyperModel` or `fit_trial` ran.

    Args:
        search: Any tuner of KerasTuner, with at least one trial; or the path of its
            project, `directory/project_name`. From a path there is no recipe.

    Returns:
        `SearchReport`, with `.table()`, `.plot()`, `.best_recipe()` and `.save(path)`;
        print it for the table, the findings and the time saved. It is a copy, which
        does not include later trials.

    Raises:
        TypeError: If `search` is neither a tuner nor a path.
        ValueError: If it has no trial, is a worker's, or is no such folder.

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
    found = read_search(search)
    report = SearchReport(
        trials=found.trials,
        objective=found.objective,
        maximize=found.direction == "max",
        tuner=found.tuner,
        logarithmic=found.logarithmic,
    )
    if not found.tuner or not report.ranked[0].has_score:
        return report
    text = recipe(report.best, found.hypermodel, report.objective, len(found.trials))
    return replace(report, recipe=text)
