"""Files of a search that are whole at any moment."""

import json
import os
from pathlib import Path
from typing import Any


def write_whole(path: str | Path, thing: Any) -> str:
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
