"""Features on disk: whole entries, found by a key, written aside and then moved."""

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from keras_deeptools._files import force_to_disk, move_when_free, write_json

Specs = dict[str, tuple[tuple[int, ...], str]]
"""Name of a feature -> shape and dtype of one sample, as it leaves the layers."""


def bytes_per_row(specs: Specs) -> int:
    """Bytes that the features of one sample take where they are kept."""
    return sum(
        int(np.prod(shape)) * stored_dtype(dtype).itemsize
        for shape, dtype in specs.values()
    )


def stored_dtype(dtype: str) -> np.dtype:
    """The dtype in which features are kept: float32 for what numpy does not know.

    Args:
        dtype: Str, a Keras dtype, such as `"bfloat16"`.
    """
    is_known = dtype != "bfloat16" and not dtype.startswith("float8")
    return np.dtype(dtype if is_known else "float32")


class MemoryStore:
    """Features of samples in memory.

    If the number of samples is known, they are put into arrays of that length at once;
    otherwise they are collected, and take up to twice as much while they are joined.

    Args:
        specs: What the features are.
        num_rows: Int, rows of all views together, or None.
        max_bytes: Int, most bytes to take.
        owner: Str. Who is named in errors.

    Raises:
        ValueError: If the features take more than `max_bytes`.
    """

    def __init__(
        self, specs: Specs, num_rows: int | None, max_bytes: int, owner: str
    ) -> None:
        self._row_bytes = bytes_per_row(specs)
        self._max_bytes = max_bytes
        self._owner = owner
        self._num_rows = 0
        self._bytes = 0
        self._is_known = num_rows is not None
        self._arrays: dict[str, Any] = {name: [] for name in specs}
        self._check(num_rows or 0)
        if num_rows is not None:
            self._arrays = {
                name: np.empty((num_rows, *shape), stored_dtype(dtype))
                for name, (shape, dtype) in specs.items()
            }

    def append(self, features: dict[str, np.ndarray]) -> None:
        """Adds the rows of a batch."""
        count = len(next(iter(features.values())))
        if self._is_known:
            self._check(self._num_rows + count)
        else:
            self._bytes += sum(value.nbytes for value in features.values())
            self._check(self._num_rows + count, self._bytes)
        for name, value in features.items():
            if self._is_known:
                self._arrays[name][self._num_rows : self._num_rows + count] = value
            else:
                self._arrays[name].append(value)
        self._num_rows += count

    def finish(self, even: bool = True) -> dict[str, Any]:
        """The arrays; lists of those of each batch, if samples have several sizes."""
        if not self._is_known and even:
            for name, parts in self._arrays.items():
                self._arrays[name] = np.concatenate(parts)
                parts.clear()
        return self._arrays

    def _check(self, num_rows: int, num_bytes: int = 0) -> None:
        needed = num_bytes or num_rows * self._row_bytes
        if needed > self._max_bytes:
            raise ValueError(
                f"{self._owner}: the features must fit into `max_bytes`="
                f"{self._max_bytes:,} of memory. Received: {num_rows:,} rows of "
                f"{needed // num_rows:,} bytes, {needed:,} bytes or more. Give "
                f"`directory` to keep them on disk, or max_bytes={needed}."
            )


LIST = "features.json"
ABANDONED_SECONDS = 24 * 3600
Arrays = dict[str, np.ndarray]


class FeatureFiles:
    """A directory of entries, one folder for each key.

    An entry is a `.npy` file for each array and a list with their digests. It is
    written under a name of its own and moved to its place as a whole, so that what an
    interruption leaves is never taken for an entry, and of two processes that write
    the same one the first wins. Files that are damaged, or not of the list, are as good
    as none. What a killed process left behind is removed a day later.

    Args:
        directory: `pathlib.Path`, made where it is missing.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        for folder in directory.glob(".*-*-*"):
            if _is_abandoned(folder):
                shutil.rmtree(folder, ignore_errors=True)

    def path(self, key: str) -> Path:
        """The folder of an entry."""
        return self._directory / key

    def find(self, key: str) -> Arrays | None:
        """The arrays of an entry, memory-mapped and read-only; None if not intact."""
        folder = self.path(key)
        try:
            facts = json.loads((folder / LIST).read_text("utf-8"))
            if facts["key"] != key:
                return None
            found = {}
            for name, digest in facts["digests"].items():
                file = folder / f"{name}.npy"
                if _digest(file) != digest:
                    return None
                found[name] = np.load(file, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return found

    def remove(self, key: str) -> None:
        """Removes an entry, out of its place first.

        Raises:
            OSError: If it cannot be moved; on Windows, where a process has it open.
        """
        place = self.path(key)
        aside = place.with_name(f".removed-{os.getpid()}-{secrets.token_hex(8)}")
        try:
            move_when_free(os.rename, place, aside)
        except FileNotFoundError:
            return  # Another process was faster.
        except OSError as error:
            raise OSError(
                f"cache_features: {place} is damaged or out of date and cannot be "
                f"removed ({error}). Delete `CachedFeatures` that were made of it, and "
                "end programs that read it, or give another `directory`."
            ) from error
        shutil.rmtree(aside, ignore_errors=True)

    @contextlib.contextmanager
    def writing(self, specs: Specs) -> Iterator["EntryWriter"]:
        """Gives a writer; what it has not moved to its place is removed at the end."""
        name = f".writing-{os.getpid()}-{secrets.token_hex(8)}"
        folder = self._directory / name
        folder.mkdir()
        writer = EntryWriter(self, folder, specs)
        try:
            yield writer
        finally:
            writer.close()
            shutil.rmtree(folder, ignore_errors=True)


class EntryWriter:
    """Writes the arrays of one entry by samples; made by `FeatureFiles.writing`.

    Args:
        files: `FeatureFiles`.
        folder: `pathlib.Path` to write in.
        specs: What the features are.
    """

    def __init__(self, files: FeatureFiles, folder: Path, specs: Specs) -> None:
        self._files = files
        self._folder = folder
        self._specs = specs
        self._num_rows = 0
        self._open: dict[str, IO[bytes]] = {}
        for name in specs:
            self._open[name] = (folder / f"{name}.npy").open("w+b")
            self._write_header(name)

    def append(self, features: Arrays) -> None:
        """Adds the rows of a batch."""
        for name, value in features.items():
            self._open[name].write(np.ascontiguousarray(value).data)
        self._num_rows += len(next(iter(features.values())))

    def finish(self, key: str) -> Arrays:
        """Moves the entry to its place and opens it."""
        for name, file in self._open.items():
            size = file.tell()
            file.seek(0)
            self._write_header(name)
            file.seek(size)
            force_to_disk(file)
        self.close()
        digests = {n: _digest(self._folder / f"{n}.npy") for n in self._specs}
        facts = {"key": key, "digests": digests}
        write_json(self._folder / LIST, facts)
        return self._moved(key)

    def close(self) -> None:
        """Closes all files."""
        for file in self._open.values():
            file.close()

    def _moved(self, key: str) -> Arrays:
        place = self._files.path(key)
        for _ in range(10):
            with contextlib.suppress(OSError):
                move_when_free(os.rename, self._folder, place)
            found = self._files.find(key)
            if found is not None:
                return found
            # What is there is damaged: out of the way with it, and once more.
            self._files.remove(key)
        raise OSError(f"cache_features: {place} cannot be written.")

    def _write_header(self, name: str) -> None:
        # numpy leaves space in a header for the first axis to grow.
        shape, dtype = self._specs[name]
        header = {
            "descr": np.lib.format.dtype_to_descr(stored_dtype(dtype)),
            "fortran_order": False,
            "shape": (self._num_rows, *shape),
        }
        np.lib.format.write_array_header_1_0(self._open[name], header)


def _is_abandoned(folder: Path) -> bool:
    """Whether a folder of ours holds nothing that was written in the last day."""
    if not folder.name.startswith((".writing-", ".removed-")):
        return False
    try:
        times = [each.stat().st_mtime for each in (folder, *folder.iterdir())]
    except OSError:
        # Another process has just removed it.
        return False
    return max(times) < time.time() - ABANDONED_SECONDS


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "blake2b").hexdigest()
