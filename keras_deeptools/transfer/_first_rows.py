"""The first rows of data, read without losing them to `fit`."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._state.random_state import seeded
from keras_deeptools.transfer._epoch_batches import are_arrays, as_arrays


def can_be_read_again(x: Any) -> bool:
    """Whether a look at data takes nothing from `fit`: all but generators."""
    return not isinstance(x, Iterator)


def first_batch(x: Any) -> Any:
    """The first batch of a dataset, or None where there is none.

    Args:
        x: `keras.utils.PyDataset`, `tf.data.Dataset`, `DataLoader` or another iterable
            of batches that can be read again.
    """
    if isinstance(x, keras.utils.PyDataset):
        return x[0]
    # Some data draw their order from the global random state.
    with seeded(0):
        return next(iter(x), None)


def first_rows(x: Any, num_rows: int) -> Any:
    """Inputs of the first rows of arrays, or of the first batch of other data.

    Args:
        x: Inputs as in `fit`, such as can be read again.
        num_rows: Int, the most rows to take.

    Returns:
        Structure of numpy arrays, empty where there are no rows.

    Example:

    >>> import numpy as np
    >>> from keras_deeptools.transfer._first_rows import first_rows
    >>> first_rows({"a": np.arange(9)}, 3)
    {'a': array([0, 1, 2])}
    """
    if not are_arrays(x):
        batch = first_batch(x)
        x = np.zeros(0) if batch is None else batch
        x = x[0] if isinstance(x, tuple | list) else x
    rows = keras.tree.map_structure(lambda each: each[:num_rows], x)
    return as_arrays(rows)
