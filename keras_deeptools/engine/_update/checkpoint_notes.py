"""Notes in the files that hold an optimizer's variables.

A note is an attribute in the HDF5 file, so code that does not know it loads the file
like any other. It is written and read together with the variables, by everything that
saves or loads them: `model.save_weights`, `ModelCheckpoint`, `BackupAndRestore`.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras_deeptools.engine._keras_private.saving import group_of
from keras_deeptools.engine._patching import Replacement

ATTRIBUTE = "keras_deeptools"
NOTES = "_keras_deeptools_notes"
SAVE, LOAD = "save_own_variables", "load_own_variables"


@dataclass(frozen=True, eq=False)
class Note:
    """A piece of information about an optimizer that is saved with its variables.

    Args:
        name: Str, unique.
        write: Function of the store that the variables were written to, which returns
            a value that JSON can hold; None for no note.
        before: Function of the noted value, or None, called before variables are
            loaded.
        after: The same, called afterwards.
        read: Function of the noted value and the store, called last.
    """

    name: str
    write: Callable[[Any], Any] = lambda store: None
    before: Callable[[Any], None] = lambda found: None
    after: Callable[[Any], None] = lambda found: None
    read: Callable[[Any, Any], None] = lambda found, store: None


@dataclass(frozen=True)
class _Seam:
    """The notes of an optimizer, and the methods that were replaced for them."""

    notes: tuple[Note, ...]
    replaced: tuple[Replacement, ...]


def hold_note(optimizer: Any, note: Note) -> None:
    """Lets a note travel with the optimizer's variables."""
    seam = vars(optimizer).get(NOTES)
    if seam is None:
        seam = _Seam((), _wrap(optimizer))
    if note not in seam.notes:
        vars(optimizer)[NOTES] = _Seam((*seam.notes, note), seam.replaced)


def release_note(optimizer: Any, note: Note) -> None:
    """Undoes `hold_note`."""
    seam = vars(optimizer).get(NOTES)
    if seam is None:
        return
    notes = tuple(other for other in seam.notes if other is not note)
    vars(optimizer)[NOTES] = _Seam(notes, seam.replaced)
    if notes:
        return
    del vars(optimizer)[NOTES]
    for replacement in seam.replaced:
        replacement.undo()


def _wrap(optimizer: Any) -> tuple[Replacement, ...]:
    save, load = getattr(optimizer, SAVE), getattr(optimizer, LOAD)

    def save_own_variables(store: Any) -> None:
        save(store)
        written = {note.name: note.write(store) for note in _notes(optimizer)}
        found = {name: value for name, value in written.items() if value is not None}
        attributes = _attributes(store)
        if found and attributes is not None:
            attributes[ATTRIBUTE] = json.dumps(found)

    def load_own_variables(store: Any) -> None:
        attributes = _attributes(store)
        found: dict[str, Any] = {}
        if attributes is not None:
            found = json.loads(attributes.get(ATTRIBUTE, "{}"))
        for note in _notes(optimizer):
            note.before(found.get(note.name))
        load(store)
        for note in _notes(optimizer):
            note.after(found.get(note.name))
        for note in _notes(optimizer):
            note.read(found.get(note.name), store)

    return (
        Replacement(optimizer, SAVE, save_own_variables),
        Replacement(optimizer, LOAD, load_own_variables),
    )


def _notes(optimizer: Any) -> list[Note]:
    """The notes held now, of those with one name the first."""
    seam = vars(optimizer).get(NOTES)
    notes = () if seam is None else seam.notes
    return list({note.name: note for note in reversed(notes)}.values())


def _attributes(store: Any) -> Any:
    """The attributes of the group that the variables are in; None outside HDF5."""
    return getattr(group_of(store), "attrs", None)
