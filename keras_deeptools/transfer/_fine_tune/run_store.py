"""Arrays and numbers kept under names, in memory or in files."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_deeptools._files import write_whole
from keras_deeptools.transfer._fine_tune.plan import OWNER

Entry = tuple[dict[str, np.ndarray], dict[str, Any]]
"""Arrays by name, and what else belongs to them, ready for JSON."""


class RunMemory:
    """Entries in memory, gone with the object."""

    lasting = False
    place = "memory"

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    def write(self, name: str, arrays: dict[str, np.ndarray], facts: dict) -> None:
        """Puts an entry in the place of one of that name."""
        self._entries[name] = (arrays, facts)

    def read(self, name: str) -> Entry | None:
        """An entry, or None where there is none of that name."""
        return self._entries.get(name)

    def remove_others(self, prefix: str, kept: str) -> None:
        """Removes all entries whose names begin with `prefix` but one."""
        names = [n for n in self._entries if n.startswith(prefix) and n != kept]
        for name in names:
            del self._entries[name]


class RunFiles:
    """Entries in a directory, a file each, which is there as a whole or not at all.

    The files are `.npz`, read without pickle; the facts are in them as JSON.

    Args:
        directory: Path, made on the first write.
    """

    lasting = True

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.place = str(directory)

    def write(self, name: str, arrays: dict[str, np.ndarray], facts: dict) -> None:
        """Puts an entry in the place of one of that name."""
        entry: dict[str, Any] = {f"array/{key}": value for key, value in arrays.items()}
        entry["facts"] = np.frombuffer(json.dumps(facts).encode(), "uint8")
        write_whole(self._path(name), lambda file: np.savez(file, **entry))

    def read(self, name: str) -> Entry | None:
        """An entry, or None where there is none of that name."""
        if not self._path(name).exists():
            return None
        with np.load(self._path(name), allow_pickle=False) as file:
            facts = json.loads(file["facts"].tobytes().decode())
            keys = [key for key in file.files if key.startswith("array/")]
            return {key.removeprefix("array/"): file[key] for key in keys}, facts

    def remove_others(self, prefix: str, kept: str) -> None:
        """Removes all entries whose names begin with `prefix` but one."""
        for path in self._directory.glob(f"{prefix}*.npz"):
            if path.stem != kept:
                path.unlink()

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}.npz"


Facts = dict[str, Any]


def described(thing: Any) -> Any:
    """A loss, an optimizer or another argument in words that JSON can hold.

    Without names, which count the objects of a session.

    Example:

    >>> import keras
    >>> from keras_deeptools.transfer._fine_tune.run_store import described
    >>> described([keras.losses.MeanSquaredError(), "mse", None])[1:]
    ['mse', None]
    """
    if thing is None or isinstance(thing, bool | int | float | str):
        return thing
    if isinstance(thing, list | tuple):
        return [described(each) for each in thing]
    if isinstance(thing, dict):
        items = {str(key): described(value) for key, value in thing.items()}
        return {key: value for key, value in items.items() if key != "name"}
    name = getattr(thing, "__name__", type(thing).__name__)
    if not hasattr(thing, "get_config"):
        return name
    return [type(thing).__name__, described(thing.get_config())]


def facts_of(model: keras.Model) -> Facts:
    """What a compiled model is and how it is compiled."""
    return {
        "backend": keras.backend.backend(),
        "optimizer": described(model.optimizer),
        "loss": described(model.loss),
        "model": [f"{v.dtype} {tuple(v.shape)}" for v in model.variables],
    }


def check_same(given: Facts, found: Facts, place: str) -> None:
    """Raises if a directory holds the run of another call.

    Args:
        given: What describes this call.
        found: What the directory holds.
        place: Str, the directory.

    Raises:
        ValueError: Naming what differs.
    """
    given = json.loads(json.dumps(given))
    names = [n for n in given | found if given.get(n) != found.get(n)]
    if not names:
        return
    listed = "; ".join(f"{n}: {_pair(given.get(n), found.get(n))}" for n in names)
    raise ValueError(
        f"{OWNER}: `directory` must be new, or that of a call with the same arguments, "
        f"model and data. Received: directory={place!r}, where other than now "
        f"was {listed}. Make the same call to go on, or give another directory."
    )


def _pair(given: Any, found: Any) -> str:
    """Both values, as far as they are short."""
    if isinstance(given, list) and isinstance(found, list):
        pairs = zip(given, found, strict=False)
        for position, (one, other) in enumerate(pairs):
            if one != other:
                return f"[{position}] {_pair(one, other)}"
        return f"{len(found)} of them, now {len(given)}"
    if isinstance(given, dict) and isinstance(found, dict):
        for name in given | found:
            if given.get(name) != found.get(name):
                return f"{name} {_pair(given.get(name), found.get(name))}"
    return f"{found!r}, now {given!r}"
