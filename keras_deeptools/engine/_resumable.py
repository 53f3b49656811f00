"""State of a callback that is kept in the files that hold an optimizer's variables."""

from collections.abc import Callable
from typing import Any

import keras

from keras_deeptools.engine._births import birth_notes
from keras_deeptools.engine._file_notes import Note, hold_note, release_note
from keras_deeptools.engine._interruption import is_fitting


class Resumable:
    """Notes the state of a callback in files, and restores it from them, during `fit`.

    What `BackupAndRestore` writes then resumes with the state of the same moment. A
    callback that holds this in `set_model` is told before any `on_train_begin`.

    Args:
        name: Str, unique among callbacks.
        write: Function that returns the state, as JSON has it.
        restore: Function of a state that was read, called before the optimizer's
            variables are loaded; it may freeze and unfreeze layers.
    """

    def __init__(
        self, name: str, write: Callable[[], Any], restore: Callable[[Any], None]
    ) -> None:
        self._name = name
        self._write = write
        self._restore = restore
        self._held: list[tuple[Any, Note]] = []

    def hold(self, model: keras.Model) -> None:
        """Takes part in what the running `fit` saves and loads; nothing outside one.

        Args:
            model: `keras.Model`, compiled.
        """
        self.release()
        if not is_fitting(model):
            return

        def write(store: Any) -> Any:
            return self._write() if is_fitting(model) else None

        def restore(found: Any) -> None:
            if found is not None and is_fitting(model):
                self._restore(found)

        own = Note(self._name, write, before=restore)
        self._held = [(model.optimizer, own), *birth_notes(model.optimizer)]
        for optimizer, note in self._held:
            hold_note(optimizer, note)

    def release(self) -> None:
        """Takes part no more."""
        for optimizer, note in self._held:
            release_note(optimizer, note)
        self._held = []
