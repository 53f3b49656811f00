"""Files that are complete at any moment."""

import json
import os
import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from keras_deeptools._arguments import message

SUFFIXES = (".html", ".htm")


def checked_path(owner: str, path: Any) -> Path:
    """Returns the file to write, or raises an error before anything is created.

    Args:
        owner: Str. Who is named in errors.
        path: Str or path of a file that ends in .html; it may exist.
    """
    rule = "the path of a file that ends in .html"
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(message(owner, "path", rule, path))
    found = Path(path)
    if found.is_dir():
        remedy = f"It is a folder: give for instance {str(found / 'report.html')!r}."
        raise ValueError(message(owner, "path", rule, str(path), remedy))
    if found.suffix.lower() not in SUFFIXES:
        raise ValueError(message(owner, "path", rule, str(path)))
    above = next(parent for parent in found.absolute().parents if parent.exists())
    if not above.is_dir():
        remedy = f"{above.name!r} is a file, no folder."
        raise ValueError(message(owner, "path", rule, str(path), remedy))
    return found


def write_whole(path: str | Path, write: Callable[[IO[bytes]], object]) -> None:
    """Writes all of a file or nothing, and creates missing folders.

    The file is written under another name in the same folder, forced to the disk and
    then moved: a reader finds the old file or the new one at any time, also after a
    crash.

    Args:
        path: The file; an existing one is replaced at once.
        write: Function that is called with the open file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with draft.open("xb") as file:
            write(file)
            force_to_disk(file)
        move_when_free(os.replace, draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def write_text(path: str | Path, text: str) -> None:
    """Writes a text as UTF-8, completely or not at all.

    Args:
        path: The file; an existing one is replaced at once.
        text: The text to write.
    """
    write_whole(path, lambda file: file.write(text.encode("utf-8")))


def write_json(path: str | Path, thing: Any, *, allow_nan: bool = True) -> str:
    """Writes JSON, completely or not at all.

    Args:
        path: The file; an existing one is replaced at once.
        thing: An object that JSON can hold.
        allow_nan: Bool. Whether NaN and infinity, which JSON lacks, may be in it.

    Returns:
        The text that was written.
    """
    text = json.dumps(thing, allow_nan=allow_nan)
    write_text(path, text)
    return text


IN_USE = 2.0
"""Seconds that a move waits until other processes close a file."""


def move_when_free(
    move: Callable[[Path, Path], object], source: Path, target: Path
) -> None:
    """Moves a file or a folder; on Windows, as soon as no process has it open.

    On Windows a file that another process reads, even if that is a virus scanner, can
    be neither moved nor replaced, so this waits for a process that has it open briefly.

    Args:
        move: `os.replace`, which replaces a file, or `os.rename`, for a folder.
        source: The file or folder to move.
        target: Its new path.

    Raises:
        PermissionError: If it is still open after some seconds.
    """
    deadline = time.monotonic() + IN_USE
    while True:
        try:
            move(source, target)
            return
        except PermissionError:
            if sys.platform != "win32" or time.monotonic() > deadline:
                raise
        time.sleep(0.02)


def force_to_disk(file: IO[bytes]) -> None:
    """Returns when what was written to an open file would survive a power failure."""
    file.flush()
    os.fsync(file.fileno())
