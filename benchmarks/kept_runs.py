"""Runs in a JSON file, so that a long benchmark goes on where it stopped."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


def read_runs(path: Path) -> dict[str, Any]:
    """Runs by their keys; none of a file that is not there yet."""
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def write_runs(path: Path, runs: dict[str, Any], indent: int | None = None) -> None:
    """Writes the file as a whole or not at all, a line for each run or indented."""
    lines = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in runs.items())
    text = json.dumps(runs, indent=indent) if indent else f"{{\n{lines}\n}}\n"
    aside = path.with_suffix(".writing")
    aside.write_text(text, "utf-8")
    os.replace(aside, path)


class KeptRuns:
    """Runs that a file holds and those that are added to it.

    Args:
        path: Path of the file.
        only_read: Bool. Whether a run that is missing is left out, not made.
    """

    def __init__(self, path: Path, only_read: bool = False) -> None:
        self.path, self.only_read = path, only_read
        self.all = read_runs(path)

    def get(self, key: str, make: Callable[[], dict[str, Any]]) -> dict | None:
        """The run of that key, made and written where it is missing."""
        if key not in self.all and not self.only_read:
            self.all[key] = make()
            write_runs(self.path, self.all)
            print(key, self.all[key], flush=True)
        return self.all.get(key)
