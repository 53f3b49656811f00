"""What a search has found."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

from keras_deeptools.tuning._search_report.charts import plot_search
from keras_deeptools.tuning._search_report.hyperparameter_importance import (
    FEWEST,
    HyperparameterImportance,
    importances,
)
from keras_deeptools.tuning._search_report.page import search_page
from keras_deeptools.tuning._search_report.searched_trial import SearchedTrial
from keras_deeptools.tuning._search_report.table import aligned, rows_of, sorted_trials

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


FEW = 15


"""Configurations up to which a note says that they are few."""


@dataclass(frozen=True, eq=False)
class SearchReport:
    """The trials of a search, and what they tell; made by `search_report`.

    Attributes:
        trials: Tuple of `SearchedTrial`, in the order in which they began.
        objective: Str, what the search looks for.
        maximize: Bool, whether a larger score is better.
        tuner: Str, class of the tuner.
        logarithmic: Frozenset of hyperparameters that are searched on a logarithmic
            scale.
        recipe: Str, what `best_recipe` gives; empty without a completed trial.

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
        """How much each hyperparameter explains by itself, the most first.

        The share of the variance of the trials' ranks that a hyperparameter explains:
        a parabola over the ranks of its numbers, the means of its categories, over the
        trials in which it was active. It is what remains after the share that shuffled
        results have, and `is_clear` says whether it can be told from them. Trials that
        failed count as the worst; with Hyperband, those of a bracket are compared by
        the round that they reached, then by score.

        What it shows: which hyperparameters, each alone, went along with good results
        in this search, over the ranges that were searched. What it does not show: two
        that matter only together; which of two that the tuner moved together (Bayesian
        optimization does) is the cause; anything about values that were not tried.
        With fewer than six configurations there is none, and with twenty only large
        effects are clear.
        """
        found = configurations(self.trials, self.maximize)
        if len(found) < FEWEST:
            return ()
        trials, results, groups = zip(*found, strict=True)
        return importances(self._columns(trials), results, groups)

    @property
    def ends(self) -> list[tuple[float, float]]:
        """Seconds from the first trial's beginning to each trial's end, and scores.

        For trials whose time was recorded, in the order in which they ended.
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
        """What a reader of the numbers should know."""
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
            num_trials: Int or None, how many of them; None for all.
        """
        shown = self.ranked[:num_trials]
        lines = [aligned(*rows_of(shown, self.objective, self.varied))]
        if self.constant:
            same = ", ".join(f"{name}={value}" for name, value in self.constant.items())
            lines.append(f"The same in all: {same}")
        return "\n".join(lines)

    def best_recipe(self) -> str:
        """The best trial as Python code.

        It makes the hyperparameters (`hp`), the hypermodel and the model, and defines
        `train`, which fits the model with the trial's callbacks and epochs. It runs by
        itself: a model that was searched is written out as JSON, a function of your
        script as its source, all else is imported. What can be neither, such as a
        `HyperModel` class of your script or a model with lambdas, must be defined
        before; the first lines name that.

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
        """Writes one HTML page: charts, table, recipe.

        Args:
            path: Str or path of a file that ends in .html. Folders that are missing
                are made; a file that exists is replaced, whole or not at all.
            title: Str or None for one that names the objective.

        Returns:
            The `pathlib.Path` of the file.

        Raises:
            ValueError: If `path` is a folder or does not end in .html.
            ImportError: If matplotlib is not installed.
        """
        return search_page(self, path, title)

    def __str__(self) -> str:
        lines = [f"{len(self.trials)} trials.", *self.notes, self.table()]
        lines += [
            f"{one.name} explains {one.share:.0%}"
            for one in self.importance
            if one.is_clear
        ]
        return "\n".join(lines)

    def _columns(self, trials: Any) -> dict[str, list[Any]]:
        names = dict.fromkeys(name for trial in self.trials for name in trial.values)
        return {name: [trial.values.get(name) for trial in trials] for name in names}
