"""Starts a search over several processes on one machine."""

import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from keras_deeptools._arguments import checked_bool, checked_count, checked_float
from keras_deeptools._distributed_search.plan import (
    Plan,
    command,
    device_environments,
    gpus,
)
from keras_deeptools._distributed_search.search_run import SearchRun
from keras_deeptools._distributed_search.supervision import Supervision

OWNER = "launch_search"


def launch_search(
    script: str | os.PathLike[str],
    arguments: Sequence[str] = (),
    *,
    workers: int,
    restarts: int = 1,
    directory: str | os.PathLike[str] = "search_logs",
    gpus_per_worker: int = 1,
    worker_timeout: float = 60.0,
    max_losses: int = 2,
    show_logs: bool = False,
    say: Callable[[str], None] = print,
) -> SearchRun:
    """Runs the search of a script in several processes on this machine.

    The script stays as it is for one process: it makes a tuner of KerasTuner and calls
    `search`. It is run by a chief, which gives out the trials, and by `workers`
    processes that train them; what follows `search` is for the chief alone, a worker
    ends at the first result that it asks the tuner for.

    The trial of a worker that is lost (killed, out of memory, an error outside of the
    trial) goes back and is the next that is run; one that lost `max_losses` workers is
    marked as failed. Started again with the same directory of the tuner and
    `overwrite=False`, a search goes on where it was. All processes end with this one,
    whatever ends it.

    Args:
        script: Path of the script.
        arguments: Strings, what the script is given.
        workers: Int >= 1.
        restarts: Int >= 0, how often each worker that is lost is started again.
        directory: Path of a folder for `chief.log`, `tuner0.log`, ...: what each
            process prints. The tuner's own directory is in the script.
        gpus_per_worker: Int >= 1. Where there are GPUs, each worker gets so many of its
            own through `CUDA_VISIBLE_DEVICES`, or shares them where there are too few;
            the chief gets none.
        worker_timeout: Float > 0, seconds of silence after which a worker is lost that
            still runs. It gives signs of life from a thread, also during a long step.
        max_losses: Int >= 1.
        show_logs: Bool, whether to print what the processes print, with their names.
        say: Function that prints a line of progress.

    Returns:
        `SearchRun`; `print` it.

    Raises:
        FileNotFoundError: If there is no such script.
        NotImplementedError: On Windows, whose processes cannot be ended together.
        TypeError: If an argument is of another type.
        ValueError: If a number is out of its range.

    Example:

    >>> from keras_deeptools.tuning import launch_search
    >>> launch_search("my_search.py", workers=2)
    Traceback (most recent call last):
    FileNotFoundError: launch_search: `script` must be an existing file. Received: ...
    """
    if not hasattr(os, "killpg"):
        raise NotImplementedError(
            f"{OWNER}: the system must have groups of processes, as Linux and macOS "
            "do: else what a worker starts outlives it, and a worker that is told to "
            f"end cannot give its trial back. Received: sys.platform={sys.platform!r}. "
            "Run it in WSL, or start each process by itself with `python -m "
            "keras_deeptools tune --join` or `join_search`."
        )
    path = Path(script)
    if not path.is_file():
        raise FileNotFoundError(
            f"{OWNER}: `script` must be an existing file. Received: "
            f"script={str(script)!r}."
        )
    settings = {
        # The launcher knows when there is nobody left to wait for.
        "patience": math.inf,
        "worker_timeout": checked_float(
            OWNER, "worker_timeout", worker_timeout, above=0
        ),
        "max_losses": checked_count(OWNER, "max_losses", max_losses),
    }
    plan = Plan(
        command(path, arguments),
        Path(directory),
        device_environments(
            OWNER,
            gpus(os.environ),
            checked_count(OWNER, "workers", workers),
            checked_count(OWNER, "gpus_per_worker", gpus_per_worker),
        ),
        checked_count(OWNER, "restarts", restarts, minimum=0),
        settings,
    )
    return Supervision(plan, say, checked_bool(OWNER, "show_logs", show_logs)).run()
