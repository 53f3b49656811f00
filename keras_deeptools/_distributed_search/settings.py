"""How long the chief of a search and its workers wait for one another."""

import dataclasses
import math
import queue
from typing import Any

from keras_deeptools._files import write_json


@dataclasses.dataclass(frozen=True)
class SearchSettings:
    """Limits of waiting in a search over several processes.

    Args:
        worker_timeout: Float > 0, seconds of silence after which a worker is lost.
        patience: Float > 0, seconds that a chief waits without any worker, and a worker
            without its chief.
        max_losses: Int >= 1. A trial that lost so many workers has failed.
        status: Path of a file that the chief keeps up to date for a launcher, or None.

    Example:

    >>> from keras_deeptools._distributed_search.settings import SearchSettings
    >>> SearchSettings(worker_timeout=30.0).beat
    3.0
    """

    worker_timeout: float = 60.0
    patience: float = 600.0
    max_losses: int = 2
    status: str | None = None

    @property
    def beat(self) -> float:
        """Seconds between two signs of life."""
        return min(5.0, self.worker_timeout / 10)


# Either {"lost": name of a worker, "reason": why} or {} once no worker is left.
NEWS: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()


def tell_chief(news: dict[str, Any]) -> None:
    """Passes on what the launcher says.

    Args:
        news: `{"lost": name of a worker, "reason": why}`, or `{}` once none is left.

    Example:

    >>> from keras_deeptools._distributed_search.settings import tell_chief
    >>> tell_chief({"lost": "tuner0", "reason": "killed by SIGKILL"})
    """
    NEWS.put(news)


class StatusFile:
    """Written whenever something changed.

    Args:
        path: Path, or None for no file.
        port: Int, where the chief can be reached.
    """

    def __init__(self, path: str | None, port: int) -> None:
        self.path = path
        self.port = port
        self._last: dict[str, Any] = {}

    def write(
        self, phase: str, oracle: Any, workers: list[str], error: Exception | None
    ) -> None:
        """Says what is true now.

        Args:
            phase: `"searching"`, `"ended"` or `"failed"`.
            oracle: KerasTuner's `Oracle`.
            workers: Names of the workers that are there.
            error: What the search failed with, or None.
        """
        if self.path is None:
            return
        trials = list(oracle.trials.values())
        best = oracle.get_best_trials()
        score = best[0].score if best else None
        status = {
            "phase": phase,
            "port": self.port,
            "trials": {trial.trial_id: trial.status for trial in trials},
            "max_trials": oracle.max_trials,
            "objective": oracle.objective.name,
            "best": score if score is not None and math.isfinite(score) else None,
            "workers": workers,
            "error": None if error is None else str(error),
        }
        if status != self._last:
            write_json(self.path, status)
            self._last = status
