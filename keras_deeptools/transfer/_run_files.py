"""Arrays and numbers kept under names, in memory or in files."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

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
        self._directory.mkdir(parents=True, exist_ok=True)
        entry: dict[str, Any] = {f"array/{key}": value for key, value in arrays.items()}
        entry["facts"] = np.frombuffer(json.dumps(facts).encode(), "uint8")
        unfinished = self._directory / f"{name}.npz.unfinished"
        with open(unfinished, "wb") as file:
            np.savez(file, **entry)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, self._path(name))

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
