"""The files of a trial in its own folder, and continuing from an earlier run's."""

import contextlib
import json
import os
import shutil
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras

from keras_deeptools.callbacks import GradientMonitor
from keras_deeptools.engine._patching import replaced
from keras_deeptools.tuning._trials.searched_trial import (
    SearchedTrial,
    logs_of,
    read_records,
)

# How often each run of a trial has been fitted: KerasTuner makes the callback that
# keeps the best epoch once for a run, and takes it through all of its executions.
_FITTED: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()

METADATA = "training_metadata.json"
"""The file in which `keras.callbacks.BackupAndRestore` keeps how far it came."""


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


TRIAL = "{trial_id}"

EXECUTION = "{execution}"

FILES = {
    keras.callbacks.ModelCheckpoint: "filepath",
    keras.callbacks.CSVLogger: "filename",
}

FOLDERS = {
    keras.callbacks.BackupAndRestore: "backup_dir",
    keras.callbacks.TensorBoard: "log_dir",
    GradientMonitor: "log_dir",
}


def give_own_paths(callbacks: Iterable[Any], place: TrialPlace, is_new: bool) -> None:
    """Makes the callbacks of a trial write where no other trial writes.

    `{trial_id}` and `{execution}` are filled in wherever a callback has them in a path.
    A path without them gets a folder `trial_<id>/execution<n>`: below a folder, and
    beside what a file would have been. For TensorBoard it is `<id>/execution<n>`, as
    KerasTuner itself does it on one of the backends.

    Args:
        callbacks: The trial's own copies.
        place: `TrialPlace`.
        is_new: Bool. Whether this execution has not begun before in this search. A
            backup that is there all the same is another search's, and is removed.
    """
    for callback in callbacks:
        texts = {
            name: os.fspath(value)
            for name, value in vars(callback).items()
            if isinstance(value, str | os.PathLike)
        }
        for name, text in texts.items():
            setattr(callback, name, _filled(text, place))
        if not any(TRIAL in text for text in texts.values()):
            _move(callback, place)
        if isinstance(callback, keras.callbacks.BackupAndRestore) and is_new:
            shutil.rmtree(callback.backup_dir, ignore_errors=True)
        if isinstance(callback, keras.callbacks.CSVLogger):
            # Unlike the others it makes no folder.
            os.makedirs(os.path.dirname(callback.filename) or ".", exist_ok=True)


def _filled(text: str, place: TrialPlace) -> str:
    """The path with the trial's name; other fields are filled by the callback."""
    execution = str(place.execution)
    return text.replace(TRIAL, place.trial_id).replace(EXECUTION, execution)


def _move(callback: Any, place: TrialPlace) -> None:
    """Puts the trial's folder into a path, and into those that were made of it."""
    execution = f"execution{place.execution}"
    own = os.path.join(f"trial_{place.trial_id}", execution)
    if isinstance(callback, keras.callbacks.TensorBoard):
        own = os.path.join(place.trial_id, execution)
    for kind, name in FILES.items():
        if isinstance(callback, kind):
            folder, file = os.path.split(getattr(callback, name))
            setattr(callback, name, os.path.join(folder, own, file))
    for kind, name in FOLDERS.items():
        old = getattr(callback, name) if isinstance(callback, kind) else None
        # KerasTuner may have moved it already.
        if old is None or old.endswith(own):
            continue
        for each, value in list(vars(callback).items()):
            if isinstance(value, str) and value.startswith(old):
                moved = os.path.join(old, own) + value[len(old) :]
                setattr(callback, each, moved)


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
    far. If either is missing, the trial begins again, so that its score is that of
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
    """The epoch from which a backup continues; None if there is none."""
    path = os.path.join(backup.backup_dir, METADATA)
    if not os.path.exists(path):
        return None
    try:
        with open(path, encoding="utf-8") as file:
            return int(json.load(file)["epoch"])
    except (ValueError, KeyError):
        # The process was killed while it wrote the file.
        return sys.maxsize
