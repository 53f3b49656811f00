"""Which workers of a search are there, by when each was last heard of."""

import threading
import time
from collections.abc import Callable
from typing import NamedTuple


class WorkerId(NamedTuple):
    """One process of a worker: started again, it has the same name and another run."""

    name: str
    run: str


class Roll:
    """The workers that were heard of and have not been dismissed.

    Args:
        timeout: Float > 0, seconds of silence after which a worker is lost.
        clock: Function to the time in seconds.
    """

    def __init__(
        self, timeout: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.timeout = timeout
        self._clock = clock
        self._heard: dict[WorkerId, float] = {}
        self._dismissed: set[WorkerId] = set()
        self._lock = threading.Lock()
        self._lonely_since = clock()

    def hear(self, worker: WorkerId) -> None:
        """Notes a sign of life; one that was under way when it left does not count."""
        with self._lock:
            if worker not in self._dismissed:
                self._heard[worker] = self._clock()

    def dismiss(self, worker: WorkerId) -> None:
        """Strikes a worker off."""
        with self._lock:
            self._dismissed.add(worker)
            self._heard.pop(worker, None)
            self._lonely_since = self._clock()

    def welcome(self, worker: WorkerId) -> None:
        """Takes a worker up again that asks for work."""
        with self._lock:
            self._dismissed.discard(worker)
        self.hear(worker)

    def present(self) -> list[WorkerId]:
        """The workers on the roll."""
        with self._lock:
            return list(self._heard)

    def silent(self) -> list[WorkerId]:
        """The workers on the roll that are overdue."""
        with self._lock:
            limit = self._clock() - self.timeout
            return [worker for worker, time in self._heard.items() if time < limit]

    def lonely_for(self) -> float:
        """Seconds since the last worker left, 0 while there is one."""
        with self._lock:
            return 0.0 if self._heard else self._clock() - self._lonely_since
