"""Files that are whole at any moment."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from keras_deeptools._arguments import message

SUFFIXES = (".html", ".htm")


def checked_path(owner: str, path: Any) -> Path:
    """The file to write, or an error before anything is made.

    Args:
        owner: Str. Whom an error names.
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


def write_whole(path: Path, text: str) -> None:
    """Writes all of a file or nothing, making folders that are missing.

    Args:
        path: The file; one that exists is replaced at once.
        text: What to write, as UTF-8.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(suffix=".tmp", prefix=path.name, dir=path.parent)
    new = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        # As any new file, for others to read; mkstemp keeps it to its owner.
        mask = os.umask(0)
        os.umask(mask)
        new.chmod(0o666 & ~mask)
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def write_json(path: str | Path, thing: Any) -> str:
    """Writes JSON so that a process killed meanwhile leaves the old file or the new.

    Args:
        path: Path of the file.
        thing: What JSON can hold.

    Returns:
        The text that was written.
    """
    text = json.dumps(thing)
    draft = Path(f"{path}.draft")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, path)
    return text
