"""Watching a trial train: its curves, its time and its memory."""

import contextlib
import dataclasses
import math
import statistics
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras

from keras_deeptools._finding import Finding
from keras_deeptools.engine._backends.common import (
    peak_device_memory,
    reset_peak_device_memory,
)
from keras_deeptools.tuning._trials.hopeless_rules import constant_loss_of
from keras_deeptools.tuning._trials.resumed_trial import (
    EarlierEpochs,
    Resumption,
    TrialPlace,
)
from keras_deeptools.tuning._trials.searched_trial import (
    ERROR,
    NO_LEARNING,
    NON_FINITE,
    SearchedTrial,
    project_records,
    write_record,
)

PROCESS = Path("/proc/self")

# Linux: begins to measure the largest resident size again.
RESET = "5"


def reset_peak_memory() -> None:
    """Resets the measurement, if the system allows it: Linux, mostly."""
    with contextlib.suppress(OSError):
        (PROCESS / "clear_refs").write_text(RESET)


def peak_memory() -> int | None:
    """Most bytes of main memory since the last reset, or since the process began.

    Returns:
        Int, or None where the system does not tell.
    """
    with contextlib.suppress(OSError):
        for line in (PROCESS / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


LEAST_EPOCHS = 3
"""Epochs after which a trial may be judged to learn nothing."""


class TrialWatch(keras.callbacks.Callback):
    """Writes the record of a trial, as the last callback of its `fit`.

    Args:
        place: `TrialPlace`, or None outside of a search: nothing is written then.
        resumption: `Resumption`, what the trial goes on from.
    """

    def __init__(
        self, place: TrialPlace | None, resumption: Resumption | None = None
    ) -> None:
        super().__init__()
        self.place = place
        self.logs: list[dict[str, float]] = []
        self.first_epoch: int | None = None
        self._resumption = Resumption() if resumption is None else resumption
        self._earlier = EarlierEpochs()
        self.last_epoch = 0
        self._epoch_seconds: list[float] = []
        self._began = self._epoch_began = time.perf_counter()
        self._record = SearchedTrial(place.trial_id if place else "")

    def begin(self, initial_epoch: int, epochs: int) -> None:
        """Writes that the trial runs.

        Args:
            initial_epoch: Int >= 0, as `fit` was asked for.
            epochs: Int >= 0, where `fit` is to end.
        """
        reset_peak_memory()
        reset_peak_device_memory()
        self._began = time.perf_counter()
        self._earlier = EarlierEpochs(initial_epoch)
        self.last_epoch = initial_epoch
        if self.place is None:
            return
        earlier = self._resumption.earlier
        self._record = SearchedTrial(
            self.place.trial_id,
            execution=self.place.execution,
            started=time.time(),
            initial_epoch=initial_epoch,
            planned_epochs=max(epochs, initial_epoch),
        )
        # What is on record stays there until it is clear where the trial goes on.
        known = dataclasses.replace(
            self._record,
            history=_by_name(earlier.logs),
            epochs=initial_epoch + len(earlier.logs),
            seconds=earlier.seconds,
        )
        self._write(known)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Notes the time."""
        if self.first_epoch is None:
            self.first_epoch = epoch
            self._go_on(epoch)
        self._epoch_began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Notes the time and all numbers."""
        self._epoch_seconds.append(time.perf_counter() - self._epoch_began)
        self.last_epoch = epoch + 1
        self.logs.append({name: float(it) for name, it in (logs or {}).items()})
        if self.place is not None:
            self._write(self._so_far())

    @property
    def history(self) -> dict[str, list[float]]:
        """For each number in the logs its values; NaN where an epoch has none."""
        return _by_name(self.logs)

    def complete(self, history: Any) -> None:
        """Adds the epochs before a backup to what `fit` returns.

        Args:
            history: `keras.callbacks.History`, or whatever a user's `fit` returns.
        """
        if self.first_epoch is None and not self.logs:
            # Nothing was left to train.
            self._go_on(self._resumption.earlier.end)
        if not self._earlier.logs or not isinstance(history, keras.callbacks.History):
            return
        first = self._earlier.initial_epoch
        history.epoch = [*range(first, self._earlier.end), *history.epoch]
        history.history = self.history

    def _go_on(self, epoch: int) -> None:
        """Takes over what an earlier run has trained before this epoch."""
        self._earlier = self._resumption.go_on(epoch)
        self.logs = [*self._earlier.logs, *self.logs]
        self.last_epoch = max(self.last_epoch, self._earlier.end)

    def non_finite(self) -> Finding | None:
        """What is wrong where the loss, or the objective throughout, is not finite."""
        losses = self.history.get("loss", [])
        if not all(map(math.isfinite, losses)):
            return Finding(
                NON_FINITE,
                "loss",
                f"The loss was not finite in epoch {self.last_epoch}. Rates or weights "
                "of this trial are too large.",
                evidence={"loss": losses[-1]},
                epoch=self.last_epoch,
            )
        name = self.place.objective.name if self.place is not None else "loss"
        values = self.history.get(name, [0.0])
        if any(map(math.isfinite, values)):
            return None
        message = f"{name} was not finite in any epoch, though the loss was."
        evidence = {"epochs": len(values)}
        return Finding(
            NON_FINITE, name, message, evidence=evidence, epoch=self.last_epoch
        )

    def no_learning(self, targets: Any) -> Finding | None:
        """What is wrong if the loss is that of one prediction for all samples.

        Args:
            targets: Array of the training targets, or None: not known.
        """
        losses = self.history.get("loss", [])
        if targets is None or self.last_epoch < LEAST_EPOCHS or not losses:
            return None
        constant = constant_loss_of(self.model, targets)
        if constant is None or min(losses) < 0.99 * constant:
            return None
        return Finding(
            NO_LEARNING,
            "loss",
            f"After {self.last_epoch} epochs the loss was {min(losses):.4g} at best, "
            "no better than that of predicting the same for every row, "
            f"{constant:.4g}.",
            evidence={"loss": min(losses), "constant_loss": constant},
            epoch=self.last_epoch,
        )

    def end(self, status: str, finding: Finding | None = None) -> None:
        """Writes how the trial ended.

        Args:
            status: Str, as of an execution in `SearchedTrial`.
            finding: `Finding` or None, what was wrong.
        """
        if self.place is None:
            return
        trained = len(self.logs)
        record = self._so_far(status)
        pace = record.seconds_per_epoch
        planned = (record.planned_epochs or 0) - record.initial_epoch
        if finding is not None:
            left = 0 if finding.kind == ERROR else max(planned - trained, 0)
            record = dataclasses.replace(
                record,
                finding=finding.kind,
                message=_in_words(finding),
                finding_epoch=finding.epoch,
                seconds_saved=left * (pace or self._usual_pace()),
            )
        self._write(record)

    def _write(self, record: SearchedTrial) -> None:
        assert self.place is not None
        write_record(self.place.directory, record, self.place.objective)

    def _so_far(self, status: str = "running") -> SearchedTrial:
        """The record as it stands."""
        first = self._record.initial_epoch
        planned = self._record.planned_epochs
        if self.first_epoch is not None:
            # Only `fit` knows its own defaults.
            first = self.first_epoch if not self._earlier.logs else first
            planned = (self.params or {}).get("epochs", planned)
        paces = self._epoch_seconds[1:]
        return dataclasses.replace(
            self._record,
            status=status,
            seconds=self._earlier.seconds + time.perf_counter() - self._began,
            seconds_per_epoch=statistics.median(paces) if paces else None,
            initial_epoch=first,
            epochs=first + len(self.logs),
            planned_epochs=planned,
            peak_memory=peak_memory(),
            peak_device_memory=peak_device_memory(),
            history=self.history,
        )

    def _usual_pace(self) -> float:
        """Seconds per epoch of other trials; 0 where there are none."""
        if self.place is None:
            return 0.0
        records = project_records(self.place.directory.parent)
        known = [one.seconds_per_epoch for one in records if one.seconds_per_epoch]
        return statistics.median(known) if known else 0.0


def _in_words(finding: Finding) -> str:
    """The message, with the variable and the update of a finding about gradients."""
    at = "" if finding.step is None else f"{finding.where}, step {finding.step}: "
    return f"{at}{finding.message} {finding.remedy}".rstrip()


def _by_name(logs: Iterable[dict[str, float]]) -> dict[str, list[float]]:
    """Values of every number, in each epoch; NaN where it was not logged."""
    logs = list(logs)
    names = dict.fromkeys(name for each in logs for name in each)
    return {name: [each.get(name, math.nan) for each in logs] for name in names}
