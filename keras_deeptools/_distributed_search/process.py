"""One process of a search, with what it starts itself."""

import json
import os
import re
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

ESCAPE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
KEPT = 20


def plain(line: str) -> str:
    """A line without colours, and of what was overwritten only what was seen last."""
    visible = ESCAPE.sub("", line).replace("\b", "").rstrip()
    return visible.rpartition("\r")[2]


class Log:
    """Copies a stream of a process to a file, line by line, from a thread.

    Args:
        stream: What the process prints.
        path: Path of the file; lines are added to it.
        show: Function that is given each line, too, or None.
    """

    def __init__(
        self, stream: IO[bytes], path: Path, show: Callable[[str], None] | None
    ) -> None:
        self.path = path
        self.last: deque[str] = deque(maxlen=KEPT)
        self._stream = stream
        self._show = show
        self._thread = threading.Thread(target=self._copy, daemon=True)
        self._thread.start()

    def finish(self, timeout: float) -> None:
        """Waits until all that the process printed is in the file."""
        self._thread.join(timeout)

    def _copy(self) -> None:
        with self._stream, self.path.open("a", encoding="utf-8") as file:
            for line in self._stream:
                text = plain(line.decode("utf-8", errors="replace"))
                self.last.append(text)
                file.write(text + "\n")
                file.flush()
                if self._show is not None:
                    self._show(text)


LAST_LINES = 5.0


class Process:
    """A process in its own group, which ends with this one.

    It reads messages from a pipe. When this process ends, for whatever reason, the pipe
    closes, and the process at the other end kills its group.

    Args:
        name: Str, its `KERASTUNER_TUNER_ID`.
        command: Its command line.
        environment: Variables in addition to those of this process.
        log: Path of the file for what it prints.
        show: Function that is given each line with the name before it, or None.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        show: Callable[[str], None] | None = None,
    ) -> None:
        self.name = name
        self._popen = subprocess.Popen(
            command,
            env=os.environ | environment | {"KERAS_DEEPTOOLS_LAUNCHED": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert self._popen.stdin is not None and self._popen.stdout is not None
        self._pipe = self._popen.stdin
        prefixed = show and (lambda line: show(f"[{name}] {line}"))
        self.log = Log(self._popen.stdout, log, prefixed)

    def code(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._popen.poll()

    def tell(self, news: Mapping[str, Any]) -> None:
        """Sends it a line, if it still listens."""
        try:
            self._pipe.write(json.dumps(news).encode() + b"\n")
            self._pipe.flush()
        except OSError:
            return

    def end(self) -> None:
        """Asks it to end."""
        if self.code() is None:
            self._popen.terminate()

    def bury(self, patience: float = 0.0) -> int:
        """Kills what is left of its group, and waits for its last lines.

        Args:
            patience: Float >= 0, seconds that it gets to end by itself.

        Returns:
            The exit code.
        """
        try:
            self._popen.wait(patience)
        except subprocess.TimeoutExpired:
            self._popen.kill()
        try:
            os.killpg(self._popen.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass  # Nothing is left of it.
        code = self._popen.wait()
        self.log.finish(LAST_LINES)
        try:
            self._pipe.close()
        except OSError:
            pass  # It had not read the last line.
        return code


def ending(code: int) -> str:
    """Says how a process ended."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
