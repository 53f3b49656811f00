"""Takes part in a search whose processes somebody else starts."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

OWNER = "tune --join"
MEMBER = Path(__file__).with_name("_member.py")
NEEDED = {
    "KERASTUNER_TUNER_ID": "`chief`, or a name that no other worker has",
    "KERASTUNER_ORACLE_IP": "the address where the chief listens",
    "KERASTUNER_ORACLE_PORT": "the port where the chief listens",
}


def command(script: str | Path, arguments: Sequence[str]) -> list[str]:
    """The command line of one process of a search."""
    return [sys.executable, str(MEMBER), str(script), *arguments]


def environment(settings: Mapping[str, Any]) -> dict[str, str]:
    """What a process of a search is told by its environment."""
    return {"KERAS_DEEPTOOLS_SEARCH": json.dumps(settings), "PYTHONUNBUFFERED": "1"}


def join(
    script: str, arguments: Sequence[str], settings: Mapping[str, Any]
) -> NoReturn:
    """Turns this process into one process of a search.

    Args:
        script: Path of the script.
        arguments: What the script is given.
        settings: Fields of `engine.SearchSettings`.

    Raises:
        ValueError: If the environment does not say which process this is.
    """
    missing = [name for name in NEEDED if not os.environ.get(name)]
    if missing:
        what = "; ".join(f"{name} ({NEEDED[name]})" for name in missing)
        raise ValueError(
            f"{OWNER}: the environment must say which process of the search this is. "
            f"Missing: {what}. Set them, or give `--workers N` to start all on this "
            "machine."
        )
    arguments = command(script, arguments)
    os.execve(arguments[0], arguments, os.environ | environment(settings))
