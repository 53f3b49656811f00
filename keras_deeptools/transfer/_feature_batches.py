"""Batches of features for training, in an order of every epoch's own."""

from typing import Any

import keras
import numpy as np


class FeatureBatches(keras.utils.PyDataset):
    """Batches of the rows of a view; each epoch takes the next view.

    Reads from memory-mapped arrays no more than a batch at a time.

    Args:
        views: List of structures `(inputs, y, sample_weight)` of arrays.
        batch_size: Int >= 1; the last batch of an epoch may have fewer.
        seed: Int from which, with the epoch, the order of the rows comes, or None for
            their own order.
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
            lambda a: None if a is None else _taken(a, rows), self._view
        )
        parts = keras.utils.pack_x_y_sample_weight(x, y, sample_weight)
        return parts if isinstance(parts, tuple) else (parts,)


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
    if validation_split:
        raise ValueError(
            "CachedFeatures.fit: `validation_split` must be 0 for features on disk or "
            f"of several views. Received: validation_split={validation_split!r}. Give "
            "`validation_data`."
        )
    seed = int(np.random.randint(2**31)) if shuffle else None
    return FeatureBatches(views, batch_size, seed)


def _sliceable(a: Any) -> Any:
    """As numpy, memory-mapped arrays as they are."""
    if a is None or isinstance(a, np.ndarray):
        return a
    return keras.ops.convert_to_numpy(a) if keras.ops.is_tensor(a) else np.asarray(a)


def _taken(a: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Rows of an array; float64 as Keras computes with it."""
    taken = np.asarray(a[rows])
    if taken.dtype == np.float64:
        return taken.astype(keras.config.floatx())
    return taken
