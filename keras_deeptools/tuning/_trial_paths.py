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
        has_place = any(TRIAL in text for text in texts.values())
        for name, text in texts.items():
            setattr(callback, name, _filled(text, place))
        if not has_place:
            _move(callback, place)
        backup = getattr(callback, "backup_dir", None)
        if is_new and isinstance(callback, keras.callbacks.BackupAndRestore):
            shutil.rmtree(backup, ignore_errors=True)
        if isinstance(callback, keras.callbacks.CSVLogger) and "://" not in (
            callback.filename
        ):
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
        old = getattr(callback, name, None)
        if not isinstance(callback, kind) or old is None or str(old).endswith(own):
            continue
        new = os.path.join(old, own)
        for each, value in vars(callback).items():
            if isinstance(value, str) and value.startswith(str(old)):
                setattr(callback, each, new + value[len(str(old)) :])
