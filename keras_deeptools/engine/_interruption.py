"""Telling whether a model's `fit` is running.

Keras calls no hook when an exception or Ctrl-C leaves `fit`, so the engine looks for
the running call itself where it matters: before files are written, before the next
`fit`, `compile` or `train_on_batch`.
"""

import sys
from types import FrameType
from typing import Any


def is_fitting(model: Any) -> bool:
    """Whether a call of `model.fit` is under way on any thread.

    Args:
        model: `keras.Model` or None.

    Returns:
        Bool.
    """
    if model is None:
        return False
    return any(_is_in_fit(frame, model) for frame in sys._current_frames().values())


def _is_in_fit(frame: FrameType | None, model: Any) -> bool:
    while frame is not None:
        if frame.f_code.co_name == "fit" and frame.f_locals.get("self") is model:
            return True
        frame = frame.f_back
    return False
