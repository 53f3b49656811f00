"""Starts a search over several processes on one machine, and watches it to its end."""

import math
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keras_deeptools._arguments import checked_bool, checked_count, checked_float
from keras_deeptools._distributed_search.process import (
    Plan,
    Process,
    command,
    device_environments,
    ending,
    gpus,
)
from keras_deeptools._text_table import NotebookText

OWNER = "launch_search"
POLL = 0.1
# What the processes get to end by themselves, in seconds.
GRACE = 5.0
GO_ON = "Start the search again with the same directory and overwrite=False to go on."


@dataclass(frozen=True)
class SearchRun(NotebookText):
    """The course of a search over several processes; made by `launch_search`.

    Attributes:
        error: Str, why the search was not completed, or None.
        trials: Id of each trial -> `"COMPLETED"` or `"FAILED"`; trials that are
            `"RUNNING"` or `"INVALID"` will be run again.
        objective: Str, name of the search's objective, or None.
        best: Float, the best score, or None.
        lost: Workers that ended before the search did, and how, in their order.
        seconds: Float, how long it took.
        logs: Str, folder of what each process printed.

    Example:

    >>> from keras_deeptools.tuning import SearchRun
    >>> run = SearchRun(
    ...     trials={"0": "COMPLETED", "1": "FAILED"},
    ...     objective="val_loss",
    ...     best=0.25,
    ...     lost=("tuner0 (killed by SIGKILL)",),
    ...     seconds=12.0,
    ... )
    >>> print(run)
    The search ended after 12 s: 1 completed, 1 failed; best val_loss 0.25.
    Lost on the way: tuner0 (killed by SIGKILL).
    >>> run.ok
    True
    """

    error: str | None = None
    trials: Mapping[str, str] = field(default_factory=dict)
    objective: str | None = None
    best: float | None = None
    lost: tuple[str, ...] = ()
    seconds: float = 0.0
    logs: str = "."

    @property
    def ok(self) -> bool:
        """True if the search was completed."""
        return self.error is None

    def __str__(self) -> str:
        how = "ended" if self.ok else "did not end"
        lines = [f"The search {how} after {self.seconds:.0f} s: {self.counts()}."]
        if self.lost:
            lines.append(f"Lost on the way: {', '.join(self.lost)}.")
        if self.error is not None:
            lines.append(self.error)
        return "\n".join(lines)

    def counts(self) -> str:
        """The number of trials by state, and the best score."""
        numbers = Counter(status.lower() for status in self.trials.values())
        parts = [f"{number} {status}" for status, number in sorted(numbers.items())]
        text = ", ".join(parts) or "none yet"
        if self.best is None:
            return text
        return f"{text}; best {self.objective} {self.best:.6g}"


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

    The script is the same as for one process: it makes a tuner of KerasTuner and calls
    `search`. It is run by a chief, which gives out the trials, and by `workers`
    processes that train them. Only the chief runs the code after `search`; a worker
    ends at the first result that it requests from the tuner.

    If a worker is lost (killed, out of memory, an error outside of the trial), its
    trial is given back and is the next one to run; a trial that lost `max_losses`
    workers is marked as failed. A search that is started again with the same directory
    of the tuner and `overwrite=False` continues where it was. All processes end when
    this one ends, for whatever reason.

    Args:
        script: Path of the script.
        arguments: Strings, the command-line arguments of the script.
        workers: Int >= 1.
        restarts: Int >= 0, how often each lost worker is started again.
        directory: Path of a folder for `chief.log`, `tuner0.log`, ...: the output of
            each process. The tuner's own directory is set in the script.
        gpus_per_worker: Int >= 1. If there are GPUs, each worker gets so many of its
            own through `CUDA_VISIBLE_DEVICES`, or shares them if there are too few;
            the chief gets none.
        worker_timeout: Float > 0, seconds of silence after which a worker that still
            runs counts as lost. A worker signals from a thread that it is alive, also
            during a long step.
        max_losses: Int >= 1. A trial that lost so many workers is marked as failed.
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


class Supervision:
    """One search.

    Args:
        plan: What to start.
        say: Function that prints a line of progress.
        show_logs: Whether to print what the processes print.
    """

    def __init__(self, plan: Plan, say: Callable[[str], None], show_logs: bool) -> None:
        self.plan = plan
        self.say = say
        self.lost: list[str] = []
        self._show = say if show_logs else None
        self._began = time.monotonic()
        self._starts: Counter[str] = Counter()
        self._workers: dict[str, Process] = {}
        self._status: dict[str, Any] = {}
        self._said = ""

    def run(self) -> SearchRun:
        """Starts the chief, then the workers, and waits for the end."""
        self.plan.prepare()
        chief = self._start("chief", 0)
        try:
            while chief.code() is None and not self._status:
                self._look()
            if self._status:
                for name in self.plan.names:
                    self._workers[name] = self._start(name, self._status["port"])
            while chief.code() is None:
                self._look()
                self._watch(chief)
            self._look()
            return self._run_of(self._error(chief))
        finally:
            processes = [*self._workers.values(), chief]
            if chief.code() is None:
                for process in processes:
                    process.end()
            deadline = time.monotonic() + GRACE
            for process in processes:
                process.bury(max(0.0, deadline - time.monotonic()))

    def _start(self, name: str, port: int) -> Process:
        self._starts[name] += 1
        return Process(
            name,
            self.plan.command,
            self.plan.environment_of(name, port),
            self.plan.log(name),
            self._show,
        )

    def _look(self) -> None:
        """Reads how the search is going, and says it where it changed."""
        time.sleep(POLL)
        self._status = self.plan.status()
        most = self._status.get("max_trials")
        total = f"{most} trials at most: " if most else ""
        workers = len(self._status.get("workers", []))
        line = f"{total}{self._run_of(None).counts()}; {workers} workers"
        if self._status and line != self._said:
            seconds = time.monotonic() - self._began
            self.say(f"{seconds:5.0f} s: {line}")
            self._said = line

    def _watch(self, chief: Process) -> None:
        """Starts workers again, and tells the chief of those that are lost."""
        for name, worker in list(self._workers.items()):
            code = worker.code()
            if code is None or self._status["phase"] != "searching":
                continue
            worker.bury()
            del self._workers[name]
            # One that was told that the search is over ends by itself.
            if code != 0:
                self._lose(chief, worker, code)
            if not self._workers:
                chief.tell({})

    def _lose(self, chief: Process, worker: Process, code: int) -> None:
        name, reason = worker.name, ending(code)
        self.lost.append(f"{name} ({reason})")
        chief.tell({"lost": name, "reason": reason})
        again = self._starts[name] <= self.plan.restarts
        what = "it is started again" if again else "it is not started again"
        self.say(f"{name} was lost ({reason}); {what}. It printed last:")
        for line in worker.log.last:
            self.say(f"[{name}] {line}")
        if again:
            self._workers[name] = self._start(name, self._status["port"])

    def _error(self, chief: Process) -> str | None:
        """Why the search did not end well, if it did not."""
        code = chief.bury()
        phase = self._status.get("phase")
        if phase == "ended" and code == 0:
            return None
        if phase == "failed":
            return self._status["error"]
        if code != 0:
            for line in chief.log.last:
                self.say(f"[chief] {line}")
        log = self.plan.log("chief")
        if phase == "ended":
            return (
                f"The chief's script failed after the search ({ending(code)}); {log}."
            )
        if phase == "searching":
            return f"The chief was lost ({ending(code)}). {GO_ON}"
        if code == 0:
            return "The script ended without a call of a tuner's `search`."
        return f"The script failed before the search began ({ending(code)}); {log}."

    def _run_of(self, error: str | None) -> SearchRun:
        return SearchRun(
            error=error,
            trials=self._status.get("trials", {}),
            objective=self._status.get("objective"),
            best=self._status.get("best"),
            lost=tuple(self.lost),
            seconds=time.monotonic() - self._began,
            logs=str(self.plan.directory),
        )
