"""State of a callback that is kept in the files that hold an optimizer's variables."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._keras_private.saving import group_of
from keras_deeptools.engine._retraining.variable_ages import birth_notes
from keras_deeptools.engine._update.checkpoint_notes import (
    Note,
    hold_note,
    release_note,
)
from keras_deeptools.engine._update.model_optimizers import model_optimizers
from keras_deeptools.engine._update.train_step import is_fitting


class _HeldNotes:
    """Notes that are in the files which a `fit` writes and reads."""

    def __init__(
        self, name: str, write: Callable[[], Any], restore: Callable[..., None]
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
        if is_fitting(model):
            self._held = self._notes(model)
        for optimizer, note in self._held:
            hold_note(optimizer, note)

    def release(self) -> None:
        """Takes part no more."""
        for optimizer, note in self._held:
            release_note(optimizer, note)
        self._held = []

    def _notes(self, model: keras.Model) -> list[tuple[Any, Note]]:
        """Optimizers, and what is noted beside the variables of each."""
        raise NotImplementedError


class Resumable(_HeldNotes):
    """Notes the state of a callback in files, and restores it from them, during `fit`.

    A `fit` that `BackupAndRestore` resumes then has the state of the same moment. A
    callback that holds this object in `set_model` is called before any
    `on_train_begin`.

    Args:
        name: Str, unique among callbacks.
        write: Function that returns the state, as JSON has it.
        restore: Function of a state that was read, called before the optimizer's
            variables are loaded; it may freeze and unfreeze layers.
    """

    def __init__(
        self, name: str, write: Callable[[], Any], restore: Callable[[Any], None]
    ) -> None:
        super().__init__(name, write, restore)

    def _notes(self, model: keras.Model) -> list[tuple[Any, Note]]:
        def write(store: Any) -> Any:
            return self._write() if is_fitting(model) else None

        def restore(found: Any) -> None:
            if found is not None and is_fitting(model):
                self._restore(found)

        own = Note(self._name, write, before=restore)
        return [(model.optimizer, own), *birth_notes(model.optimizer)]


State = tuple[dict[str, Any], list[np.ndarray]]


class ResumableArrays(_HeldNotes):
    """Keeps a callback's arrays in files written in `fit`, and brings them back.

    They are stored beside the optimizer's variables, where no other code reads: code
    that does not know them loads the file like any other. As with `Resumable`, a
    callback holds this object in `set_model`, and is called whenever a file is loaded
    during `fit`.

    Args:
        name: Str, unique among callbacks.
        write: Function that returns a dict, as JSON has it, and a list of arrays; or
            None for nothing.
        restore: Function of the dict and the list that were read. The model's weights
            may be loaded only after it.
    """

    def __init__(
        self,
        name: str,
        write: Callable[[], State | None],
        restore: Callable[[dict[str, Any], list[np.ndarray]], None],
    ) -> None:
        super().__init__(name, write, restore)

    def _notes(self, model: keras.Model) -> list[tuple[Any, Note]]:
        def write(store: Any) -> dict[str, Any] | None:
            state = self._write() if is_fitting(model) else None
            group = None if state is None else _beside(store)
            if state is None or group is None:
                return None
            found, arrays = state
            place = group.create_group(self._name)
            for position, array in enumerate(arrays):
                place[str(position)] = array
            return found

        def read(found: dict[str, Any] | None, store: Any) -> None:
            if found is None or not is_fitting(model):
                return
            place = _beside(store)[self._name]
            arrays = [np.array(place[str(i)]) for i in range(len(place))]
            self._restore(found, arrays)

        # `compile(optimizer=None)` is for models that have others.
        optimizers = [each.optimizer for each in model_optimizers(model)]
        note = Note(self._name, write, read=read)
        return [(optimizer, note) for optimizer in optimizers[:1]]


def _beside(store: Any) -> Any:
    """The group in the file that holds the group of the variables; None elsewhere."""
    return getattr(group_of(store), "parent", None)
