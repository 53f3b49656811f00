"""What became of one trial of a search."""

import math
from dataclasses import dataclass, field
from typing import Any

COMPLETED = ("completed", "stopped")


@dataclass(frozen=True)
class SearchedTrial:
    """A trial with its hyperparameters and result; made by `search_report`.

    What KerasTuner does not keep (time, memory, findings, epochs) is there for trials
    that `DeepHyperModel`, `TransferHyperModel` or `fit_trial` ran, see `TrialRecord`.

    Attributes:
        trial_id: Str, the trial's name in the search.
        number: Int >= 1, its place in the order in which trials began.
        status: `"completed"`; `"stopped"`, completed, but ended early as hopeless;
            `"failed"`; `"invalid"`, to be tried again; `"running"`, also what a search
            leaves behind that was cut off.
        values: Dict from hyperparameters that were active to their values.
        score: Float, value of the objective; NaN without one.
        best_epoch: Int >= 1 or None, the epoch with that value.
        epochs: Int or None, how far it was trained, counted from its first epoch; with
            Hyperband, from the first epoch of the trial that it goes on from.
        seconds: Float or None, time that training took, all executions together.
        started: Float or None, seconds since 1970 when training began.
        peak_memory: Int or None, bytes of main memory that the process had at most.
        peak_device_memory: Int or None, bytes of accelerator memory at most.
        finding: Str, what is wrong with it; empty where nothing is known.
        rung: Pair of ints or None, bracket and round, with Hyperband.
        parent: Str or None, the trial that it goes on from, with Hyperband.

    Example:

    >>> from keras_deeptools.tuning import SearchedTrial
    >>> trial = SearchedTrial("03", 4, "completed", {"units": 32}, score=0.91)
    >>> trial.has_score, trial.seconds is None
    (True, True)
    """

    trial_id: str
    number: int
    status: str
    values: dict[str, Any] = field(default_factory=dict)
    score: float = math.nan
    best_epoch: int | None = None
    epochs: int | None = None
    seconds: float | None = None
    started: float | None = None
    peak_memory: int | None = None
    peak_device_memory: int | None = None
    finding: str = ""
    rung: tuple[int, int] | None = None
    parent: str | None = None

    @property
    def has_score(self) -> bool:
        """Whether it ended with a value of the objective."""
        return self.status in COMPLETED and math.isfinite(self.score)
