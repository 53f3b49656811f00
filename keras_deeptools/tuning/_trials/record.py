"""What is written down of each trial beside KerasTuner's own record of it."""

import json
import math
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FILE = "keras_deeptools.json"


FORMAT = 1


NON_FINITE = "non-finite"
NO_LEARNING = "no learning"
GRADIENTS = "gradients"
BELOW_MEDIAN = "below median"
ERROR = "error"
"""Kinds of findings about a trial."""


@dataclass(frozen=True)
class TrialRecord:
    """One execution of one trial; made by `fit_trial`, read by `trial_records`.

    In the search's project, each trial's folder has a file `keras_deeptools.json`:
    `{"format": 1, "executions": [...]}`, with the fields below for each execution.
    Numbers that are not finite are null there, and NaN here. It is written when the
    execution begins and again when it ends.

    Attributes:
        trial_id: Str, the trial's name in the search.
        execution: Int >= 0, which execution of the trial it is.
        status: `"running"`, which is also what a killed process leaves behind;
            `"completed"`; `"stopped"` where `HopelessTrialStopper` ended it early;
            `"failed"` where an error did, or a loss that is not finite;
            `"interrupted"` where Ctrl-C did.
        finding: Str, what is wrong, also with a trial that completed:
            `"non-finite"`, `"no learning"`, `"gradients"`, `"below median"`,
            `"error"`; empty where nothing is.
        message: Str, the finding in words, with its numbers.
        epoch: Int >= 1 or None, the epoch of the finding, counted from the trial's
            first one, as Keras prints it.
        started: Float, seconds since 1970 when the execution began.
        seconds: Float, time that training took, validation included.
        seconds_per_epoch: Float or None, the median over the epochs but the first,
            which compiles; None where there is no other.
        seconds_saved: Float, estimate of what the epochs that were not trained would
            have taken, by the time of this trial's epochs, or else of other trials';
            0 where neither is known or the trial was not ended for a finding.
        initial_epoch: Int >= 0, epochs that were trained before, in Hyperband.
        epochs: Int >= 0, epochs that were trained here.
        planned_epochs: Int >= 0, epochs that were to be trained here.
        peak_memory: Int or None, bytes of main memory that the process had at most
            while the trial trained; None where the system does not tell.
        peak_device_memory: Int or None, bytes of accelerator memory at most; None on
            the CPU and where the backend does not tell.
        history: Dict from the name of a number in the logs to its values, one for each
            epoch that was trained here.

    Example:

    >>> from keras_deeptools.tuning import TrialRecord
    >>> record = TrialRecord("03", status="stopped", finding="no learning", epoch=4)
    >>> record.finding, record.seconds_saved
    ('no learning', 0.0)
    """

    trial_id: str
    execution: int = 0
    status: str = "running"
    finding: str = ""
    message: str = ""
    epoch: int | None = None
    started: float = 0.0
    seconds: float = 0.0
    seconds_per_epoch: float | None = None
    seconds_saved: float = 0.0
    initial_epoch: int = 0
    epochs: int = 0
    planned_epochs: int = 0
    peak_memory: int | None = None
    peak_device_memory: int | None = None
    history: dict[str, list[float]] = field(default_factory=dict)


def write_record(directory: Path, record: TrialRecord) -> None:
    """Puts a record into a trial's folder, in place of what it had from there on.

    Args:
        directory: Folder of the trial.
        record: `TrialRecord`. Records of earlier executions stay.
    """
    earlier = [
        one for one in read_records(directory) if one.execution < record.execution
    ]
    executions = [_to_json(asdict(one)) for one in (*earlier, record)]
    text = json.dumps({"format": FORMAT, "executions": executions}, allow_nan=False)
    # Another process that reads meanwhile sees the old file or the new one.
    new = directory / f"{FILE}.{os.getpid()}"
    new.write_text(text, "utf-8")
    new.replace(directory / FILE)


def read_records(directory: Path) -> list[TrialRecord]:
    """The records of one trial's executions, in their order; empty without a file.

    Args:
        directory: Folder of the trial.
    """
    file = directory / FILE
    if not file.exists():
        return []
    content = json.loads(file.read_text("utf-8"))
    return [TrialRecord(**_from_json(one)) for one in content["executions"]]


def project_records(project: Path) -> list[TrialRecord]:
    """The records of all trials of a search, in the order of their names.

    Args:
        project: Folder of the search.
    """
    files = sorted(project.glob(f"*/{FILE}"))
    return [record for file in files for record in read_records(file.parent)]


def _to_json(fields: dict[str, Any]) -> dict[str, Any]:
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
