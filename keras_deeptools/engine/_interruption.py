"""Telling whether a model's `fit` is running.

Keras calls no hook when an exception or Ctrl-C leaves `fit`, so the engine looks for
the running call itself where it matters: before files are written, before the next
`fit`, `compile` or `train_on_batch`.
"""

import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any, NamedTuple


def is_fitting(model: Any) -> bool:
    """Whether a call of `model.fit` is under way on any thread.

    Args:
        model: `keras.Model` or None.

    Returns:
        Bool.
    """
    if model is None:
        return False
    return any(True for _ in _variables_of_fits(model))


class RunningFit(NamedTuple):
    """What a running `fit` knows, whether or not it tells its callbacks.

    Attributes:
        params: Dict with `epochs` and `steps`, the batches per epoch or None.
        callbacks: List of all callbacks that it runs.
        epoch_iterator: What feeds it.
    """

    params: dict[str, Any]
    callbacks: list[Any]
    epoch_iterator: Any


def running_fit(model: Any) -> RunningFit | None:
    """What the running `fit` of a model knows, or None where none runs.

    Keras tells callbacks nothing of the run when a user has made the `CallbackList`,
    and never shows them each other.

    Args:
        model: `keras.Model`.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine import running_fit
    >>> running_fit(keras.Sequential()) is None
    True
    """
    for known in _variables_of_fits(model):
        if "epoch_iterator" in known:
            iterator = known["epoch_iterator"]
            steps = getattr(iterator, "num_batches", None)
            listed = getattr(known.get("callbacks"), "callbacks", None)
            params = {"epochs": known["epochs"], "steps": steps}
            return RunningFit(params, list(listed or []), iterator)
    return None


def _variables_of_fits(model: Any) -> Iterator[dict[str, Any]]:
    """The local variables of each call of the model's `fit` that is running.

    All threads are looked at: Keras may run the hooks of callbacks in others.
    """
    for newest in sys._current_frames().values():
        frame: FrameType | None = newest
        while frame is not None:
            if frame.f_code.co_name == "fit" and frame.f_locals.get("self") is model:
                yield frame.f_locals
            frame = frame.f_back
