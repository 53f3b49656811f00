"""Features that the rest of a model trains on."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import checked_count
from keras_deeptools.engine._frozen_features.cut import FeatureCut
from keras_deeptools.engine._frozen_features.two_part_fit import (
    FitWatch,
    fit_in_two_parts,
)
from keras_deeptools.transfer._epoch_batches import (
    FeatureBatches,
    refuse_split,
    shuffled_batches,
)
from keras_deeptools.transfer._features.compute_features import (
    CacheOptions,
    Computed,
    compute_features,
)


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


_DATA = ("x", "y", "sample_weight")


class CachedFeatures:
    """Outputs of the frozen part of a model; made by `cache_features`.

    `fit` trains the model on them. For your own training loop, `rows` returns the data
    that the model takes inside of `feeding()`.

    Attributes:
        model: `keras.Model`, the one that trains.
        views: Int, passes over the data; each epoch trains on the next one.
        path: `pathlib.Path` of the folder with the files, or None for memory.
        num_rows: Int, samples in a view.
        num_bytes: Int, bytes of all features, in memory or in files.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.transfer import cache_features, freeze
    >>> body, head = keras.layers.Dense(3), keras.layers.Dense(1)
    >>> model = keras.Sequential([keras.Input((2,)), body, head])
    >>> freeze(model, body.name)
    >>> cached = cache_features(model, np.ones((8, 2)), np.ones((8, 1)), verbose=0)
    >>> cached.features[0].shape, cached.num_bytes, cached.is_current()
    ((8, 3), 96, True)
    >>> body.trainable = True
    >>> cached.is_current()
    False
    """

    def __init__(
        self,
        cut: FeatureCut,
        computed: Computed,
        data: tuple[Any, Any, Any],
        options: CacheOptions,
    ) -> None:
        self.model = cut.model
        self.views = options.views
        self.path: Path | None = computed.path
        self._cut = cut
        self._digest = cut.digest()
        self._computed = computed
        self._data = data
        self._options = options
        flat = keras.tree.flatten(computed.arrays)
        self._is_even = isinstance(next(iter(computed.arrays.values())), np.ndarray)
        total = sum(map(len, flat)) // len(computed.arrays)
        self.num_rows = total // options.views
        self.num_bytes = sum(array.nbytes for array in flat)

    @property
    def features(self) -> list[Any]:
        """Arrays `(samples, ...)`, those of all views one after the other.

        There is one array for each tensor that crosses the cut, memory-mapped if it is
        on disk. If the samples have several lengths or sizes, there is a list of arrays
        instead, one for each batch.
        """
        return list(self._computed.arrays.values())

    def rows(self, view: int = 0) -> tuple[Any, Any, Any]:
        """Features, targets and sample weights, for the model inside of `feeding()`.

        Args:
            view: Int >= 0, the pass to return the data of.

        Returns:
            `(inputs, y, sample_weight)`: a dict of arrays, and what `fit` would get.

        Raises:
            ValueError: If samples have several lengths or sizes. Use `batches` then.
        """
        if not self._is_even:
            raise ValueError(
                "CachedFeatures.rows: all samples must have one length or size to make "
                "an array. Received: samples of several. Take `batches()`."
            )
        first = view * self.num_rows
        inputs = self._cut.inputs(
            {
                name: array[first : first + self.num_rows]
                for name, array in self._computed.arrays.items()
            }
        )
        if self._labels_are_given():
            return inputs, self._data[1], self._data[2]
        return inputs, *self._computed.labels[view]

    def batches(self, view: int = 0) -> list[tuple[Any, Any, Any]]:
        """As `rows`, but in the original batches if samples differ in length or size.

        Args:
            view: Int >= 0, the pass to return the data of.

        Returns:
            List of `(inputs, y, sample_weight)`; a single one if all samples have one
            length.
        """
        if self._is_even:
            return [self.rows(view)]
        labels = self._computed.labels[view]
        first = sum(len(each) for each in self._computed.labels[:view])
        return [
            (
                self._cut.inputs(
                    {n: parts[first + i] for n, parts in self._computed.arrays.items()}
                ),
                *labels[i],
            )
            for i in range(len(labels))
        ]

    def feeding(self) -> contextlib.AbstractContextManager[None]:
        """A block in which the model takes the inputs of `rows` in place of data.

        If the model is called on data inside the block, it runs as a whole.

        Raises:
            ValueError: If the features are out of date.
        """
        self._check_current()
        return self._cut.fed(self._computed.dtypes)

    def is_current(self) -> bool:
        """Whether the model would still make these features."""
        return self._cut.is_frozen() and self._cut.digest() == self._digest

    def for_validation(
        self, x: Any, y: Any = None, sample_weight: Any = None
    ) -> "CachedFeatures":
        """Features of other data, as the same layers compute them at inference.

        They are kept where these features are: in memory or in the directory.

        Args:
            x: Inputs, as in `fit`.
            y: Targets, if `x` is arrays.
            sample_weight: Weights of the samples, if `x` is arrays.
        """
        self._check_current()
        options = dataclasses.replace(self._options, views=1, verbose=0)
        data = (x, y, sample_weight)
        computed = compute_features(self._cut, data, options, training=False)
        return CachedFeatures(self._cut, computed, data, options)

    def fit(
        self,
        *,
        batch_size: int | None = None,
        shuffle: bool = True,
        validation_data: Any = None,
        **arguments: Any,
    ) -> keras.callbacks.History:
        """Trains the model from the cut on, as `model.fit` trains all of it.

        If a callback unfreezes layers before the cut, the epochs from there on train on
        the data themselves.

        Args:
            batch_size: Int or None for 32, samples in a batch. Samples of several
                lengths or sizes stay in the batches in which they came.
            shuffle: Bool, whether each epoch takes the samples, or these batches, in
                another order.
            validation_data: As in `fit`, or `CachedFeatures` made by `for_validation`.
                The features of validation data are computed once.
            **arguments: Further arguments of `fit` (`epochs`, `callbacks`,
                `class_weight`, `verbose`, ...), except for data.

        Returns:
            `keras.callbacks.History`.

        Raises:
            ValueError: If the features are out of date, or weights before the cut begin
                to train within an epoch.
            TypeError: If data are given.
        """
        given = [name for name in _DATA if name in arguments]
        if given:
            raise TypeError(
                "CachedFeatures.fit: the data are those of the features. Received: "
                f"`{given[0]}`. Leave it out, or call `cache_features` on other data."
            )
        if not self.model.compiled:
            raise ValueError(
                "CachedFeatures.fit: the model must be compiled. Received: "
                f"{self.model.name!r}, which is not. Call its `compile`."
            )
        size = 32 if batch_size is None else batch_size
        size = checked_count("CachedFeatures.fit", "batch_size", size)
        self._check_current()
        feed = self._feed(size, shuffle, arguments.get("validation_split", 0.0))
        watch = FitWatch(self.is_current, self._check_batch, _beginner(feed["x"]))
        return fit_in_two_parts(
            self.model,
            feed | {"validation_data": self._validation(validation_data, size)},
            lambda: self._second(validation_data, shuffle),
            watch,
            self._cut.fed(self._computed.dtypes),
            batch_size=size,
            **arguments,
        )

    def __repr__(self) -> str:
        kept = "in memory" if self.path is None else f"in {self.path}"
        views = f" x {self.views} views" if self.views > 1 else ""
        return (
            f"CachedFeatures({self.num_rows:,} rows{views} for {self.model.name!r}, "
            f"{self.num_bytes:,} bytes {kept})"
        )

    def _feed(self, size: int, shuffle: bool, split: float) -> dict[str, Any]:
        """The features as arguments of `fit`; arrays where these are in memory."""
        if not self._is_even:
            uneven = [self.batches(view) for view in range(self.views)]
            return {"x": uneven_feed(uneven, shuffle, split), "shuffle": False}
        if self.path is None and self.views == 1:
            return {**dict(zip(_DATA, self.rows(), strict=True)), "shuffle": shuffle}
        views = [self.rows(view) for view in range(self.views)]
        return {"x": shuffled_batches(views, size, shuffle, split), "shuffle": False}

    def _validation(self, data: Any, size: int) -> Any:
        """Validation data as features."""
        if data is None:
            return None
        if not isinstance(data, CachedFeatures):
            data = self.for_validation(*keras.utils.unpack_x_y_sample_weight(data))
        if not data._is_even:
            return UnevenBatches([data.batches()], None)
        if data.path is not None:
            return FeatureBatches([data.rows()], size, None)
        return keras.utils.pack_x_y_sample_weight(*data.rows())

    def _second(self, validation: Any, shuffle: bool) -> dict[str, Any]:
        """The data themselves as arguments of `fit`."""
        if isinstance(self._data[0], Iterator):
            raise ValueError(
                "CachedFeatures.fit: data must be such as can be read again to train "
                f"on after unfreezing. Received: {type(self._data[0]).__name__}. "
                "Give arrays, a PyDataset or a tf.data.Dataset."
            )
        if isinstance(validation, CachedFeatures):
            validation = keras.utils.pack_x_y_sample_weight(*validation._data)
        data = dict(zip(_DATA, self._data, strict=True))
        return {**data, "validation_data": validation, "shuffle": shuffle}

    def _labels_are_given(self) -> bool:
        return self._is_even and all(y is None for y, _ in self._computed.labels)

    def _check_current(self) -> None:
        if not self._cut.is_frozen():
            state = "something before the cut trains or draws at random now"
        elif self._cut.digest() != self._digest:
            state = "weights before the cut have other values now"
        else:
            return
        raise ValueError(
            f"CachedFeatures: the features must be those of {self.model.name!r} as it "
            f"is. Received: {state}. Call `cache_features` again, or `model.fit`."
        )

    def _check_batch(self) -> None:
        if self._cut.trains():
            raise ValueError(
                "CachedFeatures.fit: weights before the cut must begin to train "
                "between epochs. Received: a change within one. Unfreeze in "
                "`on_epoch_begin` or `on_epoch_end`."
            )


def _beginner(feed: Any) -> Callable[[int], None]:
    begins = isinstance(feed, FeatureBatches | UnevenBatches)
    return feed.begin if begins else lambda epoch: None
