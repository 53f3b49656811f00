"""The records of all trials of a search."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_deeptools._arguments import message
from keras_deeptools._text_table import text_table
from keras_deeptools.tuning._trials.paths import TrialPlace
from keras_deeptools.tuning._trials.record import TrialRecord, project_records

TITLES = "trial run status finding epochs seconds saved memory".split()


@dataclass(frozen=True)
class TrialRecords:
    """What became of every trial of a search; made by `trial_records`.

    Attributes:
        records: Tuple of `TrialRecord`, by trial and execution.

    Example:

    >>> from keras_deeptools.tuning import TrialRecord, TrialRecords
    >>> records = TrialRecords((TrialRecord("0", seconds=2.5, seconds_saved=1.0),))
    >>> records.seconds, records.seconds_saved
    (2.5, 1.0)
    """

    records: tuple[TrialRecord, ...]

    @property
    def seconds(self) -> float:
        """Float, time that all trials took together."""
        return sum(record.seconds for record in self.records)

    @property
    def seconds_saved(self) -> float:
        """Float, estimate of the time saved by ending trials early."""
        return sum(record.seconds_saved for record in self.records)

    @property
    def peak_memory(self) -> int | None:
        """Int or None, most bytes of main memory in any trial."""
        known = (record.peak_memory for record in self.records)
        return max((each for each in known if each is not None), default=None)

    def table(self) -> str:
        """One line for each execution of each trial, and the findings in words.

        Returns:
            Str.
        """
        lines = [text_table(TITLES, map(_row, self.records), text=(2, 3))]
        found = [one for one in self.records if one.finding]
        lines += [f"trial {one.trial_id}: {one.message}" for one in found]
        return "\n".join(lines)

    def __iter__(self) -> Iterator[TrialRecord]:
        return iter(self.records)

    def __len__(self) -> int:
        return len(self.records)

    def __str__(self) -> str:
        """The table, and the time taken and saved."""
        stopped = sum(record.status == "stopped" for record in self.records)
        failed = sum(record.status == "failed" for record in self.records)
        return (
            f"{self.table()}\n{len(self)} executions in {self.seconds:.1f} s; "
            f"{stopped} stopped and {failed} failed early, which saved about "
            f"{self.seconds_saved:.1f} s."
        )


def trial_records(search: Any) -> TrialRecords:
    """Reads what became of every trial of a search: findings, time, memory, curves.

    They are there for searches with `DeepHyperModel`, `TransferHyperModel` or
    `fit_trial`, in the folders of KerasTuner's own records, also while the search is
    running and after its process has ended.

    Args:
        search: A tuner, or the path of its project: `directory/project_name`.

    Returns:
        `TrialRecords`; print it for a table with the time saved.

    Raises:
        ValueError: If there is no such folder.

    Example:

    >>> import pathlib
    >>> from keras_deeptools.tuning import trial_records
    >>> pathlib.Path("empty_search").mkdir()
    >>> len(trial_records("empty_search"))
    0
    """
    project = Path(getattr(search, "project_dir", search))
    if not project.is_dir():
        rule = "a tuner or the folder of its project"
        raise ValueError(message("trial_records", "search", rule, search))
    return TrialRecords(tuple(project_records(project)))


def _row(record: TrialRecord) -> list[str]:
    memory = record.peak_memory
    return [
        record.trial_id,
        str(record.execution),
        record.status,
        record.finding,
        f"{record.epochs}/{record.planned_epochs}",
        f"{record.seconds:.1f}",
        f"{record.seconds_saved:.1f}",
        "-" if memory is None else f"{memory / 1e6:.0f} MB",
    ]


def curves_of_others(place: TrialPlace, initial_epoch: int) -> list[list[float]]:
    """The objective after each epoch of every completed trial but this.

    Args:
        place: `TrialPlace`.
        initial_epoch: Int >= 0. Trials that began at another epoch are left out.
    """
    return [
        _curve(record, place.objective)
        for record in project_records(place.directory.parent)
        if record.trial_id != place.trial_id
        and record.status == "completed"
        and record.initial_epoch == initial_epoch
    ]


def _curve(record: TrialRecord, objective: Any) -> list[float]:
    epochs = zip(*record.history.values(), strict=False)
    logs = [
        {
            name: value
            for name, value in zip(record.history, values, strict=True)
            if not math.isnan(value)
        }
        for values in epochs
    ]
    return [objective.get_value(one) for one in logs if objective.has_value(one)]
