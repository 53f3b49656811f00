"""What a launcher knows about its processes and tells the chief among them."""

import queue
from typing import Any

# Either {"lost": name of a worker, "reason": why} or {} once no worker is left.
NEWS: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()


def tell_chief(news: dict[str, Any]) -> None:
    """Passes on what the launcher says.

    Args:
        news: `{"lost": name of a worker, "reason": why}`, or `{}` once none is left.

    Example:

    >>> from keras_deeptools.engine import tell_chief
    >>> tell_chief({"lost": "tuner0", "reason": "killed by SIGKILL"})
    """
    NEWS.put(news)
