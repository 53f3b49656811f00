"""Files of a trial's callbacks, each trial's in a place of its own."""

import os
import shutil
import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from keras_deeptools.callbacks import GradientMonitor

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
