"""Losses over pixels and tokens that torch can go back through on a CPU."""

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any

import keras

from keras_deeptools.engine._attributes import replaced


@contextlib.contextmanager
def row_losses() -> Iterator[None]:
    """A block in which the sparse cross-entropy takes pixels as rows, on torch.

    Keras 3.15 gives torch a view with the classes moved to the second axis, through
    which torch does not go back on a CPU ("grad_input must be contiguous"). As rows the
    values are the same.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.engine import row_losses
    >>> masks, odds = np.zeros((1, 2, 2)), np.full((1, 2, 2, 3), 1 / 3)
    >>> with row_losses():
    ...     losses = keras.losses.sparse_categorical_crossentropy(masks, odds)
    >>> losses.shape == (1, 2, 2)
    True
    """
    if keras.backend.backend() != "torch":
        yield
        return
    module = importlib.import_module("keras.src.backend.torch.nn")
    own = module.sparse_categorical_crossentropy

    def by_rows(
        target: Any, output: Any, from_logits: bool = False, axis: int = -1
    ) -> Any:
        rank = len(output.shape)
        if rank < 3 or axis not in (-1, rank - 1):
            return own(target, output, from_logits, axis)
        places = tuple(output.shape[:-1])
        if tuple(target.shape) not in (places, (*places, 1)):
            return own(target, output, from_logits, axis)
        rows = keras.ops.reshape(output, (-1, output.shape[-1]))
        losses = own(keras.ops.reshape(target, (-1,)), rows, from_logits, -1)
        return keras.ops.reshape(losses, places)

    with replaced(module, "sparse_categorical_crossentropy", by_rows):
        yield
