"""Runs a script as one process of a search: `python member.py SCRIPT ARGUMENTS`.

A file that Python is given by its path: the package, and with it Keras, is imported
only once the script imports KerasTuner, so that the script still chooses its backend.
"""

import importlib.abc
import importlib.util
import json
import os
import runpy
import signal
import sys
import threading
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

SETTINGS = "KERAS_DEEPTOOLS_SEARCH"
CHIEF = "keras_deeptools._distributed_search.settings"
# On Windows SIGTERM ends a process at once; Ctrl-Break is what it can answer.
TOLD_TO_END = ("SIGTERM", "SIGBREAK")


class AfterKerasTuner(importlib.abc.MetaPathFinder):
    """Does something as soon as KerasTuner has been imported."""

    def __init__(self, do: Callable[[], None]) -> None:
        self.do = do

    def find_spec(
        self, fullname: str, path: Any, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Finds KerasTuner as Python would, and adds what comes after it."""
        if fullname != "keras_tuner":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_do(module: ModuleType) -> None:
            execute(module)
            self.do()

        vars(spec.loader)["exec_module"] = execute_and_do
        return spec


def take_part() -> None:
    """Takes part in the search as the launcher's settings say."""
    from keras_deeptools._distributed_search.join_search import install_hooks
    from keras_deeptools._distributed_search.settings import SearchSettings

    install_hooks(SearchSettings(**json.loads(os.environ.get(SETTINGS, "{}"))))


def end_with(launcher: int) -> None:
    """Passes on the launcher's messages, and ends this process when that has ended.

    It imports nothing: a thread that is in the midst of a library when Python ends may
    abort the process. Without this module nobody here takes part in a search.

    Args:
        launcher: File descriptor that the launcher writes to.
    """
    with open(launcher, "rb", buffering=0) as lines:
        for line in lines:
            if (chief := sys.modules.get(CHIEF)) is not None:
                chief.tell_chief(json.loads(line))
    if os.getpgrp() != os.getpid():
        os.kill(os.getpid(), signal.SIGTERM)
    else:
        os.killpg(os.getpid(), signal.SIGKILL)


def follow_launcher() -> None:
    """Listens to the launcher from a thread; the script gets an empty input."""
    launcher = os.dup(0)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    threading.Thread(target=end_with, args=(launcher,), daemon=True).start()


def say_goodbye(number: int, frame: FrameType | None) -> None:
    """Lets a worker that receives a signal to end give its trial back."""
    sys.exit(128 + number)


def find_this_package() -> None:
    """Lets the script import the package that the launcher is from, and no other."""
    home = Path(__file__).parents[1]
    spec = importlib.util.find_spec(home.name)
    if spec is None or spec.origin is None or Path(spec.origin).parent != home:
        sys.path.insert(1, str(home.parent))


def main() -> None:
    """Runs the script."""
    _, script, *arguments = sys.argv
    if os.environ.pop("KERAS_DEEPTOOLS_LAUNCHED", None):
        follow_launcher()
    for name in TOLD_TO_END:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), say_goodbye)
    sys.argv = [script, *arguments]
    sys.path[0] = str(Path(script).resolve().parent)
    find_this_package()
    sys.meta_path.insert(0, AfterKerasTuner(take_part))
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
