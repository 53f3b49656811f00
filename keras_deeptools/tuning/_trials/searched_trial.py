"""One trial of a search, and what is written down of it beside KerasTuner's record."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keras_deeptools._files import write_json

FILE = "keras_deeptools.json"
FORMAT = 1
COMPLETED = ("completed", "stopped")
NON_FINITE = "non-finite"
NO_LEARNING = "no learning"
GRADIENTS = "gradients"
BELOW_MEDIAN = "below median"
ERROR = "error"
"""Kinds of findings about a trial."""


@dataclass(frozen=True)
class SearchedTrial:
    """A trial with its hyperparameters and result; made by `search_report`.

    What KerasTuner does not record (time, memory, findings, curves) is available for
    trials that `DeepHyperModel`, `TransferHyperModel` or `fit_trial` ran. It is written
    when an execution of a trial begins, after each of its epochs and when it ends, to
    the file `keras_deeptools.json` of the trial's folder:
    `{"format": 1, "objective": {...}, "executions": [...]}`. Numbers that are not
    finite are null there, and NaN here.

    Epochs are counted as Keras prints them, from the first epoch of the trial; with
    Hyperband from that of the trial that it continues.

    Attributes:
        trial_id: Str, the trial's name in the search.
        number: Int >= 1, its place in the order in which trials began; 0 where it is
            one of another's `executions`.
        status: `"completed"`; `"stopped"`, completed, but ended early as hopeless;
            `"failed"`; `"invalid"`, to be tried again; `"running"`, which an
            interrupted search also leaves behind; of an execution also `"interrupted"`,
            if Ctrl-C ended it.
        values: Dict from hyperparameters that were active to their values.
        score: Float, value of the objective; NaN without one.
        best_epoch: Int >= 1 or None, the epoch with that value.
        epochs: Int or None, the epoch up to which it was trained.
        initial_epoch: Int >= 0, epochs that were trained before, with Hyperband.
        planned_epochs: Int or None, the epoch up to which it was to be trained.
        started: Float or None, seconds since 1970 when training began.
        seconds: Float or None, time that training took, validation included, all
            executions together.
        seconds_per_epoch: Float or None, the median over all epochs except the first,
            which compiles; None if there is no other.
        seconds_saved: Float, estimate of the time that the epochs that were not trained
            would have taken, by the time of this trial's epochs, or otherwise of other
            trials'; 0 if neither is known or the trial was not ended for a finding.
        peak_memory: Int or None, the most bytes of main memory that the process had
            while the trial trained; None if the system does not report it.
        peak_device_memory: Int or None, the most bytes of accelerator memory; None on
            the CPU and if the backend does not report it.
        finding: Str, what is wrong, also for a trial that completed:
            `"non-finite"`, `"no learning"`, `"gradients"`, `"below median"`,
            `"error"`, or the kind of what a `TrainingDoctor` has found; empty if
            nothing is known.
        message: Str, the finding in words, with its numbers.
        finding_epoch: Int >= 1 or None, the epoch of the finding.
        rung: Pair of ints or None, bracket and round, with Hyperband.
        parent: Str or None, the trial that it continues, with Hyperband.
        history: Dict from the name of a number in the logs to its values, one for each
            epoch that was trained here; that of the last execution.
        execution: Int >= 0 or None, which of another's `executions` it is.
        executions: Tuple of `SearchedTrial`, each execution of the trial by itself;
            empty if nothing was recorded.

    Example:

    >>> from keras_deeptools.tuning import SearchedTrial
    >>> trial = SearchedTrial("03", 4, "completed", {"units": 32}, score=0.91)
    >>> trial.has_score, trial.seconds is None
    (True, True)
    """

    trial_id: str
    number: int = 0
    status: str = "running"
    values: dict[str, Any] = field(default_factory=dict)
    score: float = math.nan
    best_epoch: int | None = None
    epochs: int | None = None
    initial_epoch: int = 0
    planned_epochs: int | None = None
    started: float | None = None
    seconds: float | None = None
    seconds_per_epoch: float | None = None
    seconds_saved: float = 0.0
    peak_memory: int | None = None
    peak_device_memory: int | None = None
    finding: str = ""
    message: str = ""
    finding_epoch: int | None = None
    rung: tuple[int, int] | None = None
    parent: str | None = None
    history: dict[str, list[float]] = field(default_factory=dict)
    execution: int | None = None
    executions: tuple["SearchedTrial", ...] = ()

    @property
    def has_score(self) -> bool:
        """Whether the trial ended with a value of the objective."""
        return self.status in COMPLETED and math.isfinite(self.score)


# What of an execution is written down.
WRITTEN = (
    "trial_id",
    "execution",
    "status",
    "finding",
    "message",
    "finding_epoch",
    "started",
    "seconds",
    "seconds_per_epoch",
    "seconds_saved",
    "initial_epoch",
    "epochs",
    "planned_epochs",
    "peak_memory",
    "peak_device_memory",
    "history",
)


def write_record(directory: Path, record: SearchedTrial, objective: Any = None) -> None:
    """Puts an execution into a trial's file, in place of what it had from there on.

    Args:
        directory: Folder of the trial.
        record: `SearchedTrial`, one execution. Those before it stay.
        objective: `keras_tuner.Objective` of the search, or None: not known.
    """
    earlier = [
        one
        for one in read_records(directory)
        if (one.execution or 0) < (record.execution or 0)
    ]
    content: dict[str, Any] = {"format": FORMAT}
    if objective is not None:
        told = {"name": objective.name, "direction": objective.direction}
        content["objective"] = told
    content["executions"] = [_to_json(one) for one in (*earlier, record)]
    # Another process that reads meanwhile sees the old file or the new one.
    write_json(directory / FILE, content, allow_nan=False)


def read_records(directory: Path) -> list[SearchedTrial]:
    """One trial's executions, in their order; empty without a file.

    Args:
        directory: Folder of the trial.
    """
    executions = _content(directory).get("executions", ())
    return [SearchedTrial(**_from_json(one)) for one in executions]


def recorded_objective(directory: Path) -> dict[str, str] | None:
    """Name and direction of what the search of a trial looked for, if it is known.

    Args:
        directory: Folder of the trial.
    """
    return _content(directory).get("objective")


def _content(directory: Path) -> dict[str, Any]:
    file = directory / FILE
    return json.loads(file.read_text("utf-8")) if file.exists() else {}


def project_records(project: Path) -> list[SearchedTrial]:
    """The executions of all trials of a search, in the order of their names.

    Args:
        project: Folder of the search.
    """
    files = sorted(project.glob(f"*/{FILE}"))
    return [record for file in files for record in read_records(file.parent)]


def curves_of_others(
    project: Path, trial_id: str, objective: Any, initial_epoch: int
) -> list[list[float]]:
    """The objective after each epoch of every completed trial but one.

    Args:
        project: Folder of the search.
        trial_id: Str, the trial that is left out.
        objective: `keras_tuner.Objective`.
        initial_epoch: Int >= 0. Trials that began at another epoch are left out.
    """
    return [
        [
            objective.get_value(logs)
            for logs in logs_of(one)
            if objective.has_value(logs)
        ]
        for one in project_records(project)
        if one.trial_id != trial_id
        and one.status == "completed"
        and one.initial_epoch == initial_epoch
    ]


def logs_of(record: SearchedTrial) -> list[dict[str, float]]:
    """What was logged in each epoch that an execution trained, without gaps.

    Args:
        record: `SearchedTrial`, one execution.
    """
    return [
        {
            name: values[epoch]
            for name, values in record.history.items()
            if epoch < len(values) and not math.isnan(values[epoch])
        }
        for epoch in range((record.epochs or 0) - record.initial_epoch)
    ]


def _to_json(record: SearchedTrial) -> dict[str, Any]:
    fields = {name: getattr(record, name) for name in WRITTEN}
    return fields | {
        "history": {
            name: [value if math.isfinite(value) else None for value in values]
            for name, values in fields["history"].items()
        }
    }


def _from_json(fields: dict[str, Any]) -> dict[str, Any]:
    return fields | {
        "history": {
            name: [math.nan if value is None else value for value in values]
            for name, values in fields["history"].items()
        }
    }
