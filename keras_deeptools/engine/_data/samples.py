"""Samples of any data of `fit` and `predict`: in fixed batches, or in their order."""

import contextlib
import time
import types
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._building.first_call import reason_of
from keras_deeptools.engine._data.fit_batches import random_generators
from keras_deeptools.engine._keras_private.data import (
    adapter_kind,
    adapter_of,
    arrays_in,
    batches_apart,
)
from keras_deeptools.engine._keras_private.registry import check_seams
from keras_deeptools.engine._state.random_state import RandomState

MOST_ROWS = 2048
"""Of longer arrays, samples at even distances are taken: statistics need no more."""

MOST_BYTES = 2**28
"""Samples of large images are fewer."""

PATIENCE = 3.0
"""Seconds that data other than arrays are read for at most."""


class RowBatches:
    """Batches of inputs as numpy arrays, of another size than the data come in.

    Args:
        x: Arrays, dicts or lists of arrays, `tf.data.Dataset`, `PyDataset`, torch
            `DataLoader` or generator. Of tuples `(x, y, ...)` the first is taken.
        batch_size: Int >= 1, samples in a batch; the last batch may have fewer, and so
            may the last one before samples of another length or size.
        owner: Str. Name of the caller, for errors.
        labelled: Bool. Whether to give `(x, y, sample_weight)`, None for what the data
            do not hold, instead of `x`.

    Attributes:
        num_rows: Int, or None if it can be found only by reading the data.

    Raises:
        ValueError: If `x` is not one of these.

    Example:

    >>> import numpy as np
    >>> from keras_deeptools.engine._data.samples import RowBatches
    >>> [batch.shape for batch in RowBatches(np.ones((5, 2)), batch_size=2)]
    [(2, 2), (2, 2), (1, 2)]
    """

    def __init__(
        self,
        x: Any,
        batch_size: int,
        owner: str = "mc_predict",
        labelled: bool = False,
    ) -> None:
        check_seams(owner, "data")
        self._batch_size = batch_size
        self._first: list[Any] = []
        self._running: Iterator[Any] | None = None
        self._labelled = labelled
        try:
            self._adapter = adapter_of(x, batch_size)
        except (ValueError, KeyError) as error:
            raise ValueError(
                f"{owner}: `x` must be arrays, a tf.data.Dataset, a PyDataset, a "
                "torch DataLoader or a generator, with rows. Received: x of type "
                f"{type(x).__name__}, of which Keras says: {reason_of(error)}"
            ) from error
        for leaf in keras.tree.flatten(x):
            kind = getattr(getattr(leaf, "dtype", None), "kind", "")
            if kind in ("U", "S"):
                raise ValueError(
                    f"{owner}: `x` must be numbers, as Keras takes no arrays of "
                    f"strings. Received: dtype {leaf.dtype}. For a model that takes "
                    "strings give a `tf.data.Dataset`, or number them first."
                )
        self.num_rows = None
        if arrays_in(self._adapter) is not None:
            self.num_rows = len(keras.tree.flatten(x)[0])

    def __iter__(self) -> Iterator[Any]:
        running, self._running = self._running or self._read(), None
        while self._first:
            yield self._first.pop()
        yield from running

    def peek(self) -> Any:
        """The first batch, which an iteration gives again; None without samples."""
        if not self._first:
            self._running = self._read()
            self._first = [batch for _, batch in zip((0,), self._running, strict=False)]
        return self._first[0] if self._first else None

    def _read(self) -> Iterator[Any]:
        held: list[Any] = []
        count = 0
        self._adapter.on_epoch_begin()
        try:
            for batch in self._adapter.get_numpy_iterator():
                parts = keras.utils.unpack_x_y_sample_weight(batch)
                rows = parts if self._labelled else parts[0]
                if held and inner_shapes(rows) != inner_shapes(held[0]):
                    # Samples of another size cannot share a batch with those before.
                    yield _joined(held)
                    held.clear()
                    count = 0
                held.append(rows)
                count += _length(parts[0])
                if count >= self._batch_size:
                    yield from self._cut(held, count // self._batch_size)
                    count %= self._batch_size
        finally:
            self._adapter.on_epoch_end()
        if count:
            yield _joined(held)

    def _cut(self, held: list[Any], num_batches: int) -> Iterator[Any]:
        """Takes whole batches from what is held, and leaves the rest there."""
        size = self._batch_size
        rows = _joined(held)
        held.clear()
        for i in range(num_batches):
            yield _slice(rows, i * size, (i + 1) * size)
        if _length(rows) > num_batches * size:
            held.append(_slice(rows, num_batches * size, _length(rows)))


def inner_shapes(rows: Any) -> list[tuple[int, ...] | None]:
    """The shapes of one sample of each array.

    Args:
        rows: Structure of arrays `(samples, ...)`, None for missing ones.

    Example:

    >>> import numpy as np
    >>> from keras_deeptools.engine._data.samples import inner_shapes
    >>> inner_shapes({"tokens": np.ones((8, 5))})
    [(5,)]
    """
    return [
        None if each is None else tuple(each.shape[1:])
        for each in keras.tree.flatten(rows)
    ]


def padded(x: Any, num_rows: int) -> Any:
    """Arrays with their last sample repeated, up to a number of samples.

    Args:
        x: Structure of arrays `(samples, ...)`.
        num_rows: Int, number of samples of the result.

    Example:

    >>> import numpy as np
    >>> from keras_deeptools.engine._data.samples import padded
    >>> padded(np.array([1, 2]), 3).shape
    (3,)
    """
    missing = num_rows - _length(x)
    if missing <= 0:
        return x
    return keras.tree.map_structure(
        lambda a: (
            None
            if a is None
            else np.concatenate([a, np.repeat(a[-1:], missing, axis=0)])
        ),
        x,
    )


def _length(x: Any) -> int:
    return len(keras.tree.flatten(x)[0])


def _slice(x: Any, start: int, stop: int) -> Any:
    return keras.tree.map_structure(lambda a: None if a is None else a[start:stop], x)


def _joined(held: list[Any]) -> Any:
    if len(held) == 1:
        return held[0]
    return keras.tree.map_structure(
        lambda *parts: None if parts[0] is None else np.concatenate(parts), *held
    )


class BatchPadding:
    """Full batches for the size of samples that comes first, others as they come.

    If samples have several lengths or sizes, the batches of each have as many samples
    as the largest batch of that size so far.

    Args:
        batch_size: Int >= 1.

    Example:

    >>> import numpy as np
    >>> from keras_deeptools.engine._data.samples import BatchPadding
    >>> padding = BatchPadding(8)
    >>> shapes = [(5, 2), (3, 4), (2, 4), (1, 2)]
    >>> [padding.size(np.zeros(shape)) for shape in shapes]
    [8, 3, 3, 8]
    """

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size
        self._sizes: dict[tuple, int] = {}

    def size(self, x: Any) -> int:
        """Int, number of samples to pad a batch to.

        Args:
            x: Structure of arrays `(samples, ...)`.
        """
        num_rows = len(next(a for a in keras.tree.flatten(x) if a is not None))
        shape = tuple(inner_shapes(x))
        least = num_rows if self._sizes else self._batch_size
        self._sizes[shape] = max(num_rows, self._sizes.get(shape, least))
        return self._sizes[shape]


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
    >>> from keras_deeptools.engine._data.samples import rows_in_order
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
