"""Some samples of any data that `fit` takes, with all labels in their order."""

import contextlib
import time
import types
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._data.fit_batches import random_generators
from keras_deeptools.engine._keras_private.data import (
    adapter_kind,
    adapter_of,
    batches_apart,
)
from keras_deeptools.engine._state.random_state import RandomState

MOST_ROWS = 2048
"""Of longer arrays, samples at even distances are taken: statistics need no more."""

MOST_BYTES = 2**28
"""Samples of large images are fewer."""

PATIENCE = 3.0
"""Seconds that data other than arrays are read for at most."""


@dataclass(frozen=True, eq=False)
class RowsInOrder:
    """Samples of a data set; made by `rows_in_order`.

    Attributes:
        x: Inputs, numpy arrays or a nested structure of them.
        y: Targets of the same samples, or None.
        sample_weight: Weights of the same samples, or None.
        ordered: All targets that were read, in the order of the data; of arrays all
            there are.
        num_samples: Int, how many samples there are in all; None where that is not
            known.
        batch_size: Int, samples in a batch of a dataset; None for arrays.
        kind: Str, class of Keras' adapter, such as `"ArrayDataAdapter"`.
    """

    x: Any
    y: Any
    sample_weight: Any
    ordered: Any
    num_samples: int | None
    batch_size: int | None
    kind: str

    @property
    def are_arrays(self) -> bool:
        """Whether `fit` shuffles the data itself."""
        return self.kind == "ArrayDataAdapter"


def rows_in_order(x: Any, y: Any = None, sample_weight: Any = None) -> RowsInOrder:
    """Reads samples from data; random states stay as they are.

    Args:
        x: Data as `fit` takes them: arrays, tensors, data frames, lists or dicts of
            them; or a `tf.data.Dataset`, `PyDataset`, torch `DataLoader` or generator,
            which loses the one batch that is taken from it.
        y: Targets, where `x` is arrays.
        sample_weight: Weights, where `x` is arrays.

    Raises:
        ValueError: If there are no data.
        Exception: What Keras raises for data that `fit` does not take.

    Example:

    >>> import numpy as np
    >>> from keras_deeptools.engine._data.rows_in_order import rows_in_order
    >>> rows = rows_in_order(np.ones((5000, 2)), np.arange(5000))
    >>> rows.x.shape, rows.ordered.shape, rows.num_samples
    ((1667, 2), (5000,), 5000)
    """
    random = RandomState(*random_generators(x))
    is_generator = isinstance(x, types.GeneratorType)
    try:
        if is_generator:
            # Keras reads ahead.
            first = next(x)
            x = (each for each in [first])
        adapter = adapter_of(x, 2**31, y)
        kind = adapter_kind(adapter)
        with contextlib.closing(numpy_batches(adapter)) as batches:
            read = _some_of(batches, kind)
    finally:
        random.restore()
    if not read:
        raise ValueError("no batch in the data")
    parts = [keras.utils.unpack_x_y_sample_weight(batch) for batch in read]
    length = sum(num_rows(part[0]) for part in parts)
    whole = keras.tree.map_structure(concatenated, *parts)
    step = -(-length // _most_rows(whole[0], length))
    some = keras.tree.map_structure(lambda v: None if v is None else v[::step], whole)
    is_array = kind == "ArrayDataAdapter"
    count = None if is_array or adapter.num_batches is None else adapter.num_batches
    size = None if is_array else num_rows(parts[0][0])
    if sample_weight is not None:
        some = (some[0], some[1], np.asarray(sample_weight)[::step])
    return RowsInOrder(
        some[0],
        some[1],
        some[2],
        whole[1],
        length if is_array else None if count is None or size is None else count * size,
        size,
        kind,
    )


def numpy_batches(adapter: Any) -> Generator[Any, None, None]:
    """One pass over the data of one of Keras' adapters; to be closed."""
    adapter.on_epoch_begin()
    try:
        yield from batches_apart(adapter)
    finally:
        adapter.on_epoch_end()


def _some_of(batches: Iterator[Any], kind: str) -> list[Any]:
    """Batches of one shape, until there are enough."""
    read: list[Any] = []
    rows, start = 0, time.monotonic()
    for batch in batches:
        if read and row_shapes(batch) != row_shapes(read[0]):
            break
        read.append(batch)
        rows += num_rows(batch)
        enough = rows >= _most_rows(batch, num_rows(batch))
        if kind == "ArrayDataAdapter" or enough or time.monotonic() - start > PATIENCE:
            break
    return read


def _most_rows(values: Any, length: int) -> int:
    size = sum(each.nbytes for each in keras.tree.flatten(values) if each is not None)
    return max(64, min(MOST_ROWS, int(MOST_BYTES * length / max(size, 1))))


def concatenated(*parts: Any) -> Any:
    """The samples of several arrays in one array; None for missing ones."""
    return None if parts[0] is None else np.concatenate(parts)


def num_rows(batch: Any) -> int:
    """Number of samples in a batch, by its first array."""
    return len(keras.tree.flatten(batch)[0])


def row_shapes(batch: Any) -> list[Any]:
    """The shape of one sample in each array of a batch."""
    return [np.shape(each)[1:] for each in keras.tree.flatten(batch)]
