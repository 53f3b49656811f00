"""Which trial of which search a `fit` belongs to."""

import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# How often each run of a trial has been fitted: KerasTuner makes the callback that
# keeps the best epoch once for a run, and takes it through all of its executions.
_FITTED: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()


@dataclass(frozen=True)
class TrialPlace:
    """A trial of a search, and where its files are.

    Args:
        objective: `keras_tuner.Objective`, what the search looks for.
        trial_id: Str, the trial's name in the search.
        execution: Int >= 0, how many executions of the trial came before.
        directory: Folder of the trial in the search's project; the folders of the
            other trials lie beside it.
    """

    objective: Any
    trial_id: str
    execution: int
    directory: Path


def place_of(callbacks: Iterable[Any]) -> TrialPlace | None:
    """The trial that a tuner's own callbacks tell of; None outside of a search.

    To be called once for each `fit`: each call is one execution.

    Args:
        callbacks: Callbacks that the tuner gave to `HyperModel.fit`.
    """
    callbacks = list(callbacks)
    found = [
        one for one in callbacks if hasattr(one, "tuner") and hasattr(one, "trial")
    ]
    if not found:
        return None
    tuner, trial = found[0].tuner, found[0].trial
    execution = 0
    for keeper in callbacks:
        if hasattr(keeper, "objective") and hasattr(keeper, "best_value"):
            execution = _FITTED.get(keeper, 0)
            _FITTED[keeper] = execution + 1
    return TrialPlace(
        tuner.oracle.objective,
        str(trial.trial_id),
        execution,
        Path(tuner.get_trial_dir(trial.trial_id)),
    )
