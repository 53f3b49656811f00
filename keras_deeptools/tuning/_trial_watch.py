"""Watching a trial train: its curves, its time and its memory."""

import dataclasses
import math
import statistics
import time
from typing import Any

import keras

from keras_deeptools.engine import peak_device_memory, reset_peak_device_memory
from keras_deeptools.tuning._constant_loss import constant_loss_of
from keras_deeptools.tuning._finding import ERROR, NO_LEARNING, NON_FINITE, Finding
from keras_deeptools.tuning._peak_memory import peak_memory, reset_peak_memory
from keras_deeptools.tuning._trial_place import TrialPlace
from keras_deeptools.tuning._trial_record import (
    TrialRecord,
    project_records,
    write_record,
)

LEAST_EPOCHS = 3
"""Epochs after which a trial may be said to learn nothing."""


class TrialWatch(keras.callbacks.Callback):
    """Writes the record of a trial, as the last callback of its `fit`.

    Args:
        place: `TrialPlace`, or None outside of a search: nothing is written then.
    """

    def __init__(self, place: TrialPlace | None) -> None:
        super().__init__()
        self.place = place
        self.history: dict[str, list[float]] = {}
        self.first_epoch: int | None = None
        self.last_epoch = 0
        self._epoch_seconds: list[float] = []
        self._began = self._epoch_began = time.perf_counter()
        self._record = TrialRecord(place.trial_id if place else "")

    def begin(self, initial_epoch: int, epochs: int) -> None:
        """Writes that the trial runs.

        Args:
            initial_epoch: Int >= 0, as `fit` was asked for.
            epochs: Int >= 0, where `fit` is to end.
        """
        reset_peak_memory()
        reset_peak_device_memory()
        self._began = time.perf_counter()
        if self.place is None:
            return
        self._record = TrialRecord(
            self.place.trial_id,
            self.place.execution,
            started=time.time(),
            initial_epoch=initial_epoch,
            planned_epochs=max(epochs - initial_epoch, 0),
        )
        write_record(self.place.directory, self._record)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Notes the time."""
        if self.first_epoch is None:
            self.first_epoch = epoch
        self._epoch_began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Notes the time and all numbers."""
        self._epoch_seconds.append(time.perf_counter() - self._epoch_began)
        self.last_epoch = epoch + 1
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(float(value))

    def non_finite(self) -> Finding | None:
        """What is wrong where the loss, or the objective throughout, is not finite."""
        losses = self.history.get("loss", [])
        if not all(map(math.isfinite, losses)):
            return Finding(
                NON_FINITE,
                f"The loss was not finite in epoch {self.last_epoch}. Rates or weights "
                "of this trial are too large.",
                self.last_epoch,
            )
        name = self.place.objective.name if self.place is not None else "loss"
        values = self.history.get(name, [0.0])
        if any(map(math.isfinite, values)):
            return None
        message = f"{name} was not finite in any epoch, though the loss was."
        return Finding(NON_FINITE, message, self.last_epoch)

    def no_learning(self, targets: Any) -> Finding | None:
        """What is wrong where the loss is that of one prediction for all rows.

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
            f"After {self.last_epoch} epochs the loss was {min(losses):.4g} at best, "
            "no better than that of predicting the same for every row, "
            f"{constant:.4g}.",
            self.last_epoch,
        )

    def end(self, status: str, finding: Finding | None = None) -> None:
        """Writes how the trial ended.

        Args:
            status: Str, as in `TrialRecord`.
            finding: `Finding` or None, what was wrong.
        """
        if self.place is None:
            return
        first = self._record.initial_epoch
        planned = self._record.planned_epochs
        if self.first_epoch is not None:
            # A backup may have set in later, and only `fit` knows its own default.
            first = self.first_epoch
            planned = self.params["epochs"] - first
        trained = len(self._epoch_seconds)
        pace = statistics.median(self._epoch_seconds[1:]) if trained > 1 else None
        record = dataclasses.replace(
            self._record,
            status=status,
            seconds=time.perf_counter() - self._began,
            seconds_per_epoch=pace,
            initial_epoch=first,
            epochs=trained,
            planned_epochs=planned,
            peak_memory=peak_memory(),
            peak_device_memory=peak_device_memory(),
            history=self.history,
        )
        if finding is not None:
            left = 0 if finding.kind == ERROR else max(planned - trained, 0)
            record = dataclasses.replace(
                record,
                finding=finding.kind,
                message=finding.message,
                epoch=finding.epoch,
                seconds_saved=left * (pace or self._usual_pace()),
            )
        write_record(self.place.directory, record)

    def _usual_pace(self) -> float:
        """Seconds per epoch of other trials; 0 where there are none."""
        if self.place is None:
            return 0.0
        records = project_records(self.place.directory.parent)
        known = [one.seconds_per_epoch for one in records if one.seconds_per_epoch]
        return statistics.median(known) if known else 0.0
