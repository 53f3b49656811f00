"""Watches the processes of a search until it has ended."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from keras_deeptools._distributed_search.plan import Plan
from keras_deeptools._distributed_search.process import Process, ending
from keras_deeptools._distributed_search.search_run import SearchRun

POLL = 0.1
# What the processes get to end by themselves, in seconds.
GRACE = 5.0
GO_ON = "Start the search again with the same directory and overwrite=False to go on."


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
