"""Optimizers that take apart embedding rows which a batch uses several times."""

from typing import Any

import keras

from keras_deeptools.engine._backends.active import tensors
from keras_deeptools.engine._update.leaf import leaf_optimizers, optimizer_parts

SQUARING = (
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "Adamax",
    "Ftrl",
    "Lamb",
    "Muon",
    "Nadam",
    "RMSprop",
    "ScheduleFreeAdamW",
)
"""Optimizers whose step is not proportional to the gradient; Muon updates embeddings as
Adam does. SGD and Lion are right."""


def rows_taken_apart(optimizer: Any) -> str | None:
    """Which optimizer squares the gradients of a row's uses one by one, if any does.

    On TensorFlow the gradient of an embedding is a list of rows, in which one occurs as
    often as it was used. Keras adds them up where the gradient is added to others or
    clipped by its global norm, and else squares each.

    Args:
        optimizer: Keras optimizer.

    Returns:
        Str, the class of the optimizer, or None.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._update.repeated_rows import rows_taken_apart
    >>> rows_taken_apart(keras.optimizers.SGD())
    """
    if not tensors.LISTS_ROWS:
        return None
    if any(map(_sums_rows, optimizer_parts(optimizer))):
        return None
    names = [name for name in SQUARING if hasattr(keras.optimizers, name)]
    kinds = tuple(getattr(keras.optimizers, name) for name in names)
    for leaf in leaf_optimizers(optimizer):
        if isinstance(leaf, kinds):
            return type(leaf).__name__
    return None


def _sums_rows(optimizer: Any) -> bool:
    clips = optimizer.global_clipnorm and not optimizer.clipnorm
    return bool(clips) or (optimizer.gradient_accumulation_steps or 1) > 1
