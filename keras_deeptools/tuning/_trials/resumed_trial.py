"""A trial that goes on from a backup of an earlier run."""

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import keras

from keras_deeptools.engine._patching import replaced
from keras_deeptools.tuning._trials.paths import TrialPlace
from keras_deeptools.tuning._trials.searched_trial import (
    SearchedTrial,
    logs_of,
    read_records,
)

METADATA = "training_metadata.json"
"""The file in which `keras.callbacks.BackupAndRestore` keeps how far it came."""


@dataclass(frozen=True)
class EarlierEpochs:
    """Epochs that an earlier run of the same execution trained.

    Attributes:
        initial_epoch: Int >= 0, the first of them.
        logs: Tuple of dicts, the logs at the end of each.
        seconds: Float, what they took.
    """

    initial_epoch: int = 0
    logs: tuple[dict[str, float], ...] = ()
    seconds: float = 0.0

    @property
    def end(self) -> int:
        """Int, the epoch after the last one."""
        return self.initial_epoch + len(self.logs)

    def before(self, epoch: int) -> "EarlierEpochs":
        """Those before an epoch.

        Args:
            epoch: Int >= 0.
        """
        logs = self.logs[: max(epoch - self.initial_epoch, 0)]
        share = len(logs) / len(self.logs) if self.logs else 0.0
        return EarlierEpochs(self.initial_epoch, logs, self.seconds * share)


@dataclass
class Resumption:
    """What a run takes over from an earlier one, once it is known how far that came.

    Args:
        earlier: `EarlierEpochs`, all that are on record.
        keepers: Callbacks of a tuner that keep the weights of the best epoch.
        stoppers: Callbacks that take over the values of earlier epochs.
    """

    earlier: EarlierEpochs = field(default_factory=EarlierEpochs)
    keepers: tuple[Any, ...] = ()
    stoppers: tuple[Any, ...] = ()

    def go_on(self, epoch: int) -> EarlierEpochs:
        """The epochs before this one, which callbacks now know of.

        Args:
            epoch: Int >= 0, the first epoch of the new run.
        """
        found = self.earlier.before(epoch)
        for keeper in self.keepers:
            objective = keeper.objective
            for logs in found.logs:
                if not objective.has_value(logs):
                    continue
                value = objective.get_value(logs)
                if objective.better_than(value, keeper.best_value):
                    keeper.best_value = value
        for stopper in self.stoppers:
            stopper.go_on_from(found.logs)
        return found


def resumption(
    callbacks: Iterable[Any],
    place: TrialPlace,
    initial_epoch: int,
    stoppers: Iterable[Any],
) -> Resumption:
    """What a run may take over; removes backups that it cannot go on from.

    A backup goes with the weights of the best epoch and the values of all epochs so
    far. Where either is missing, the trial begins anew, so that its score is that of
    the weights that are kept.

    Args:
        callbacks: Those of the trial.
        place: `TrialPlace`.
        initial_epoch: Int >= 0, as `fit` was asked for.
        stoppers: Callbacks with a method `go_on_from`.
    """
    keepers = tuple(
        one
        for one in callbacks
        if hasattr(one, "objective") and hasattr(one, "best_value")
    )
    records = [
        one
        for one in read_records(place.directory)
        if one.execution == place.execution and one.initial_epoch == initial_epoch
    ]
    earlier = _epochs_of(records[0]) if records else EarlierEpochs(initial_epoch)
    files = [one.filepath for one in keepers if hasattr(one, "filepath")]
    are_kept = all(os.path.exists(file) for file in files)
    starts = []
    for backup in backups_in(callbacks):
        epoch = _epoch_of(backup)
        if epoch is not None and (epoch > earlier.end or not are_kept):
            shutil.rmtree(backup.backup_dir, ignore_errors=True)
        elif epoch is not None:
            starts.append(epoch)
    earlier = earlier.before(max(starts, default=initial_epoch))
    return Resumption(earlier, keepers, tuple(stoppers))


def backups_in(callbacks: Iterable[Any]) -> list[Any]:
    """The callbacks that back up the state of training.

    Args:
        callbacks: Those of the trial.
    """
    kind = keras.callbacks.BackupAndRestore
    return [one for one in callbacks if isinstance(one, kind)]


@contextlib.contextmanager
def backups_at_the_end(
    callbacks: Iterable[Any],
) -> Iterator[list[keras.callbacks.Callback]]:
    """Callbacks to put last, which write the backups of others in the block.

    A backup is then written after all else of an epoch: weights, values, record. A
    process that is killed in between goes on from the backup before, of which all of
    these are there. After the block the others write by themselves again.

    Args:
        callbacks: Those of the trial.
    """
    with contextlib.ExitStack() as stack:
        last: list[keras.callbacks.Callback] = []
        for backup in backups_in(callbacks):
            last.append(_WritesLast(backup.on_epoch_end))
            stack.enter_context(replaced(backup, "on_epoch_end", _wait))
        yield last


class _WritesLast(keras.callbacks.Callback):
    """Calls what another callback would have done at the end of an epoch."""

    def __init__(self, write: Callable[..., None]) -> None:
        super().__init__()
        self._write = write

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes the backup."""
        self._write(epoch, logs)


def _wait(epoch: int, logs: dict[str, Any] | None = None) -> None:
    """Does nothing yet."""


def _epochs_of(record: SearchedTrial) -> EarlierEpochs:
    logs = tuple(logs_of(record))
    return EarlierEpochs(record.initial_epoch, logs, record.seconds or 0.0)


def _epoch_of(backup: Any) -> int | None:
    """The epoch from which a backup goes on; None where there is none."""
    path = os.path.join(backup.backup_dir, METADATA)
    if not os.path.exists(path):
        return None
    try:
        with open(path, encoding="utf-8") as file:
            return int(json.load(file)["epoch"])
    except (ValueError, KeyError):
        # The process was killed while it wrote the file.
        return sys.maxsize
