"""The data of a training, in an order that depends only on the seed and the epoch.

The first samples can be read without losing them to `fit`.
"""

import math
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import message
from keras_deeptools.engine._data.fit_batches import Batches
from keras_deeptools.engine._state.random_state import seeded

Feed = Any
"""What `fit` takes as `x`."""


class ShuffledRows(keras.utils.PyDataset):
    """Batches of arrays, every epoch in another order that its number and a seed tell.

    Args:
        arrays: Tuple `(x, y, ...)` of structures of numpy arrays.
        batch_size: Int, samples in a batch; the last one of an epoch may have fewer.
        num_batches: Int, batches in an epoch.
        seed: Int, or None for the order of the arrays.
    """

    def __init__(
        self, arrays: tuple, batch_size: int, num_batches: int, seed: int | None
    ) -> None:
        super().__init__()
        self.arrays = arrays
        self._batch_size = batch_size
        self._length = num_batches
        self._seed = seed
        self._rows = np.arange(len(keras.tree.flatten(arrays)[0]))

    def begin(self, epoch: int) -> None:
        """Puts the samples in the order of an epoch."""
        if self._seed is not None:
            order = np.random.default_rng([self._seed, epoch])
            self._rows = order.permutation(len(self._rows))

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> tuple:
        start = index * self._batch_size
        rows = self._rows[start : start + self._batch_size]
        return keras.tree.map_structure(lambda array: _taken(array, rows), self.arrays)


class ShuffledBatches(keras.utils.PyDataset):
    """The batches of a data set of the user's, in an order of every epoch's own.

    Args:
        batches: `keras.utils.PyDataset` of known length.
        num_batches: Int, batches in an epoch.
        seed: Int, or None for its own order.
    """

    def __init__(
        self, batches: keras.utils.PyDataset, num_batches: int, seed: int | None
    ) -> None:
        super().__init__(
            workers=batches.workers,
            use_multiprocessing=batches.use_multiprocessing,
            max_queue_size=batches.max_queue_size,
        )
        self._batches = batches
        self._length = num_batches
        self._seed = seed
        self._order = np.arange(batches.num_batches)

    def begin(self, epoch: int) -> None:
        """Puts the batches in the order of an epoch."""
        if self._seed is not None:
            order = np.random.default_rng([self._seed, epoch])
            self._order = order.permutation(len(self._order))

    def on_epoch_begin(self) -> None:
        """As the data set of the user's."""
        self._batches.on_epoch_begin()

    def on_epoch_end(self) -> None:
        """As the data set of the user's."""
        self._batches.on_epoch_end()

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Any:
        return self._batches[int(self._order[index])]


def begin_epoch(feed: Any, epoch: int) -> None:
    """Tells data which epoch begins, where that decides their order."""
    if isinstance(feed, ShuffledRows | ShuffledBatches):
        feed.begin(epoch)


def are_arrays(x: Any) -> bool:
    """Whether data are arrays, or a structure of them, with all samples at hand."""
    if isinstance(x, keras.utils.PyDataset | Iterator):
        return False
    leaves = keras.tree.flatten(x)
    return bool(leaves) and all(
        hasattr(leaf, "shape") and hasattr(leaf, "dtype") or hasattr(leaf, "to_numpy")
        for leaf in leaves
    )


def as_arrays(data: Any) -> Any:
    """The same structure of numpy arrays, with tuples for lists."""
    return keras.tree.lists_to_tuples(keras.tree.map_structure(_as_array, data))


def length_of(arrays: Any) -> int:
    """The number of samples."""
    return len(keras.tree.flatten(arrays)[0])


def split_rows(arrays: tuple, fraction: float) -> tuple[tuple, tuple]:
    """All but the last samples, and the last samples, as `fit` splits them."""
    at = math.floor(length_of(arrays) * (1 - fraction))
    first = keras.tree.map_structure(lambda array: array[:at], arrays)
    return first, keras.tree.map_structure(lambda array: array[at:], arrays)


def num_batches_of(owner: str, model: keras.Model, x: Any) -> int:
    """Batches in an epoch of data that are no arrays.

    Raises:
        ValueError: If only reading all of them would tell.
    """
    count = None if isinstance(x, Iterator) else Batches(model, x).num_batches
    if count is None:
        remedy = (
            "1cycle needs the number of updates. Give the number of batches to train "
            "on in an epoch."
        )
        rule = f"given for a {type(x).__name__} of unknown length"
        raise ValueError(message(owner, "steps_per_epoch", rule, None, remedy))
    return count


def _as_array(leaf: Any) -> np.ndarray:
    if keras.ops.is_tensor(leaf):
        return np.asarray(keras.ops.convert_to_numpy(leaf))
    return np.asarray(leaf)


def _taken(array: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Rows of an array; floats as Keras computes with them."""
    taken = array[rows]
    if taken.dtype == np.float64:
        return taken.astype(keras.config.floatx())
    return taken


class FeatureBatches(keras.utils.PyDataset):
    """Batches of the rows of a view; each epoch takes the next view.

    Reads from memory-mapped arrays no more than a batch at a time.

    Args:
        views: List of structures `(inputs, y, sample_weight)` of arrays.
        batch_size: Int >= 1; the last batch of an epoch may have fewer.
        seed: Int that determines, with the epoch, the order of the samples, or None
            for the order of the arrays.
    """

    def __init__(self, views: list[Any], batch_size: int, seed: int | None) -> None:
        super().__init__()
        self._views = [keras.tree.map_structure(_sliceable, view) for view in views]
        self._batch_size = batch_size
        self._seed = seed
        self._num_rows = len(keras.tree.flatten(views[0])[0])
        self.begin(0)

    def begin(self, epoch: int) -> None:
        """Takes the view and the order of the rows of an epoch."""
        self._view = self._views[epoch % len(self._views)]
        self._order = np.arange(self._num_rows)
        if self._seed is not None:
            generator = np.random.default_rng([self._seed, epoch])
            self._order = generator.permutation(self._num_rows)

    def __len__(self) -> int:
        return -(-self._num_rows // self._batch_size)

    def __getitem__(self, index: int) -> tuple:
        start = index * self._batch_size
        rows = self._order[start : start + self._batch_size]
        x, y, sample_weight = keras.tree.map_structure(
            lambda a: None if a is None else _taken_rows(a, rows), self._view
        )
        parts = keras.utils.pack_x_y_sample_weight(x, y, sample_weight)
        return parts if isinstance(parts, tuple) else (parts,)


def refuse_split(kind: str, validation_split: float) -> None:
    """Raises an error if `fit` is to hold out samples that it cannot choose."""
    if validation_split:
        rule = f"0 for {kind}"
        remedy = "Give `validation_data`."
        raise ValueError(
            message(
                "CachedFeatures.fit", "validation_split", rule, validation_split, remedy
            )
        )


def shuffled_batches(
    views: list[Any], batch_size: int, shuffle: bool, validation_split: float
) -> FeatureBatches:
    """Batches in an order that comes from the global random state, or their own.

    Args:
        views: As in `FeatureBatches`.
        batch_size: Int >= 1.
        shuffle: Bool.
        validation_split: Float, what `fit` was given, which must be 0.
    """
    refuse_split("features on disk or of several views", validation_split)
    seed = int(np.random.randint(2**31)) if shuffle else None
    return FeatureBatches(views, batch_size, seed)


def _sliceable(a: Any) -> Any:
    """As numpy, memory-mapped arrays as they are."""
    if a is None or isinstance(a, np.ndarray):
        return a
    return keras.ops.convert_to_numpy(a) if keras.ops.is_tensor(a) else np.asarray(a)


def _taken_rows(a: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Rows of an array; float64 as Keras computes with it."""
    taken = np.asarray(a[rows])
    if taken.dtype == np.float64:
        return taken.astype(keras.config.floatx())
    return taken


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
        x: Inputs as in `fit`, of a kind that can be read again.
        num_rows: Int, the most samples to take.

    Returns:
        Structure of numpy arrays, empty if there are no samples.

    Example:

    >>> import numpy as np
    >>> from keras_deeptools.transfer._epoch_batches import first_rows
    >>> first_rows({"a": np.arange(9)}, 3)
    {'a': array([0, 1, 2])}
    """
    if not are_arrays(x):
        batch = first_batch(x)
        x = np.zeros(0) if batch is None else batch
        x = x[0] if isinstance(x, tuple | list) else x
    rows = keras.tree.map_structure(lambda each: each[:num_rows], x)
    return as_arrays(rows)
