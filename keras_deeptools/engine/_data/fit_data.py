"""The data of a running `fit`, which is checked when its training goes wrong."""

import itertools
import time
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._data.errors import (
    advice,
    non_finite,
)
from keras_deeptools.engine._data.fit_batches import random_generators
from keras_deeptools.engine._keras_private.data import (
    adapter_kind,
    arrays_in,
    batches_apart,
    loader_in,
    standardized_batch,
)
from keras_deeptools.engine._state.random_state import RandomState
from keras_deeptools.engine._update.train_step import running_fit

PATIENCE = 5.0
"""Largest number of seconds for which data other than arrays are read."""


class FitData:
    """The data that `fit` trains a model on; costs nothing until `fault` is called.

    Keras does not show the data to callbacks. `fit` holds them in a local variable, and
    a callback runs inside of `fit`, so they are found there. They are not available in
    a custom training loop, or from a generator, which can be read only once.

    Args:
        model: `keras.Model`. Make the object while its `fit` runs, in a callback.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.engine._data.fit_data import FitData
    >>> class Look(keras.callbacks.Callback):
    ...     def on_train_begin(self, logs=None):
    ...         print(FitData(self.model).fault()[:61])
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", loss="mse")
    >>> x = np.array([[1.0, 2.0], [np.nan, 3.0]])
    >>> history = model.fit(x, np.ones(2), callbacks=[Look()], verbose=0)
    The data are not finite: `x` holds 1 NaN, in 1 of the 2 sampl
    """

    def __init__(self, model: keras.Model) -> None:
        run = running_fit(model)
        self._adapter: Any = None if run is None else run.epoch_iterator.data_adapter

    def fault(self) -> str:
        """Describes NaN and infinity in the data, with the remedy; empty for none.

        Arrays are checked as a whole; other data are read until the first batch that is
        not finite, for a few seconds at most. Draws from random states are undone.
        """
        if not self.can_be_read_again:
            return ""
        arrays = arrays_in(self._adapter)
        if arrays is not None:
            return advice(non_finite(arrays))
        loader = loader_in(self._adapter)
        state = RandomState(*random_generators(loader))
        try:
            start = time.monotonic()
            for number, batch in enumerate(self._batches()):
                found = non_finite(batch, where=f"batch number {number}")
                if found:
                    return advice(found)
                if time.monotonic() - start > PATIENCE:
                    break
        except Exception:
            # The user's code may fail when read beside `fit`, which must continue.
            return ""
        finally:
            state.restore()
        return ""

    def batches(self, size: int, order: np.ndarray | None = None) -> Iterator[Any]:
        """Batches of numpy arrays, once through the data; none of a generator.

        Random states are not put back.

        Args:
            size: Int, samples in a batch, where the data are arrays.
            order: Int array, the order in which samples of arrays are taken.
        """
        arrays = None if self._adapter is None else arrays_in(self._adapter)
        if arrays is None:
            if self._adapter is not None and self.can_be_read_again:
                yield from self._batches()
            return
        length = len(keras.tree.flatten(arrays)[0])
        order = np.arange(length) if order is None else order
        for start in range(0, length, size):
            rows = order[start : start + size]
            yield keras.tree.map_structure(
                lambda v, rows=rows: None if v is None else np.asarray(v)[rows], arrays
            )

    @property
    def num_samples(self) -> int | None:
        """How many samples arrays have; None for other data."""
        arrays = None if self._adapter is None else arrays_in(self._adapter)
        return None if arrays is None else len(keras.tree.flatten(arrays)[0])

    @property
    def can_be_read_again(self) -> bool:
        """Whether the data are there, and no generator."""
        kind = adapter_kind(self._adapter)
        return self._adapter is not None and kind != "GeneratorDataAdapter"

    def _batches(self) -> Iterator[Any]:
        dataset = getattr(self._adapter, "py_dataset", None)
        if dataset is None:
            yield from batches_apart(self._adapter)
            return
        # Past the threads that load it for `fit` at the same time.
        count = dataset.num_batches
        numbers = itertools.count() if count is None else range(count)
        for number in numbers:
            yield standardized_batch(self._adapter, dataset[number])
