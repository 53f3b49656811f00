"""Searches whose trials take no training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras_tuner


def peak(hp: Any) -> float:
    """Best at a rate of 1e-2, whatever the number of units; fails over 1."""
    rate = hp.Float("rate", 1e-4, 10.0, sampling="log")
    hp.Int("units", 8, 64)
    if hp.Boolean("norm"):
        with hp.conditional_scope("norm", [True]):
            hp.Choice("kind", ["batch", "layer"])
    if rate > 1:
        raise keras_tuner.errors.FailedTrialError("The loss was not finite.")
    return 1 - abs(rate - 1e-2) ** 0.5


class Kept(keras_tuner.HyperModel):
    """A hypermodel that keeps its arguments or not."""

    def __init__(self, units: int, keeps: bool = True) -> None:
        super().__init__()
        if keeps:
            self.units = units
            self.keeps = keeps

    def build(self, hp: Any) -> None:
        """Builds nothing."""


def measured(tuner_class: type, score: Callable[[Any], float] = peak) -> type:
    """The class of tuner with trials that only compute a score."""

    class Measured(tuner_class):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> float:
            return score(trial.hyperparameters)

    return Measured


def random_search(
    directory: Path,
    num_trials: int = 20,
    score: Callable[[Any], float] = peak,
    **kwargs: Any,
) -> Any:
    """A random search that is ready to begin."""
    return measured(keras_tuner.RandomSearch, score)(
        objective=keras_tuner.Objective("score", "max"),
        max_trials=num_trials,
        max_consecutive_failed_trials=num_trials + 1,
        directory=directory,
        seed=3,
        **kwargs,
    )


def hyperband(directory: Path) -> Any:
    """A Hyperband search of nine epochs that is ready to begin."""

    def longer_is_better(hp: Any) -> float:
        units = hp.Int("units", 1, 1000)
        return units / 1000 + hp.values["tuner/epochs"]

    known = keras_tuner.HyperParameters()
    known.Int("units", 1, 1000)
    return measured(keras_tuner.Hyperband, longer_is_better)(
        hyperparameters=known,
        objective=keras_tuner.Objective("score", "max"),
        max_epochs=9,
        directory=directory,
        seed=3,
    )
