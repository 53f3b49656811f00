"""Batches of features whose rows are of several lengths or sizes, as they came."""

import keras
import numpy as np

from keras_deeptools.transfer._epoch_batches import refuse_split


class UnevenBatches(keras.utils.PyDataset):
    """Batches in an order of every epoch's own; each epoch takes the next view.

    Args:
        views: List of lists of `(inputs, y, sample_weight)`, a batch each.
        seed: Int from which, with the epoch, the order of the batches comes, or None
            for their own order.
    """

    def __init__(self, views: list[list[tuple]], seed: int | None) -> None:
        super().__init__()
        self._views = views
        self._seed = seed
        self._view = views[0]
        self._order = _unlike_first(views[0])

    def begin(self, epoch: int) -> None:
        """Takes the view and the order of the batches of an epoch."""
        self._view = self._views[epoch % len(self._views)]
        self._order = np.arange(len(self._view))
        if self._seed is not None:
            generator = np.random.default_rng([self._seed, epoch])
            self._order = generator.permutation(len(self._view))

    def __len__(self) -> int:
        return len(self._view)

    def __getitem__(self, index: int) -> tuple:
        parts = keras.utils.pack_x_y_sample_weight(*self._view[self._order[index]])
        return parts if isinstance(parts, tuple) else (parts,)


def _unlike_first(batches: list[tuple]) -> np.ndarray:
    """The order that begins with two batches as unlike as there are.

    On TensorFlow Keras tells by the first two which lengths vary.
    """
    shapes = [
        [size for a in keras.tree.flatten(batch) if a is not None for size in a.shape]
        for batch in batches
    ]
    unlike = [sum(map(int.__ne__, shapes[0], each)) for each in shapes]
    other = int(np.argmax(unlike))
    rest = [i for i in range(len(batches)) if i not in (0, other)]
    second = [other] if other else []
    return np.array([0, *second, *rest])


def uneven_feed(
    views: list[list[tuple]], shuffle: bool, validation_split: float
) -> UnevenBatches:
    """Batches in an order that comes from the global random state, or their own.

    Args:
        views: As in `UnevenBatches`.
        shuffle: Bool.
        validation_split: Float, what `fit` was given, which must be 0.
    """
    refuse_split("samples of several lengths or sizes", validation_split)
    return UnevenBatches(views, int(np.random.randint(2**31)) if shuffle else None)
