"""Files of a trial's callbacks, each trial's in a place of its own."""

import os
import shutil
from collections.abc import Iterable
from typing import Any

import keras

from keras_deeptools.callbacks import GradientMonitor
from keras_deeptools.tuning._trial_place import TrialPlace

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
