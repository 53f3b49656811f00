"""How long the chief of a search and its workers wait for one another."""

import dataclasses
import queue
from typing import Any


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
