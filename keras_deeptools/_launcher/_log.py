"""What a process prints, as plain lines in a file."""

import re
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import IO

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
