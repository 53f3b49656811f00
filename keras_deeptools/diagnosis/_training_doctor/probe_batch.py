"""Some samples of the running `fit`, on which activations are looked at."""

import contextlib
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._data.fit_batches import random_generators
from keras_deeptools.engine._keras_private.data import (
    adapter_kind,
    arrays_in,
    loader_in,
    standardized_batch,
)
from keras_deeptools.engine._state.random_state import RandomState
from keras_deeptools.engine._update.train_step import running_fit

ROWS = 256


def probe_batch(model: keras.Model, rows: int = ROWS) -> tuple[Any, Any] | None:
    """Inputs and targets from the data of a running `fit`, or None.

    Random states stay as they are, and generators, which can be read only once, are
    left alone.

    Args:
        model: `keras.Model`. Call it in a callback.
        rows: Int, how many samples at most.
    """
    run = running_fit(model)
    adapter: Any = None if run is None else run.epoch_iterator.data_adapter
    kind = adapter_kind(adapter)
    if adapter is None or kind == "GeneratorDataAdapter":
        return None
    arrays = arrays_in(adapter)
    if arrays is not None:
        x, y, _ = keras.utils.unpack_x_y_sample_weight(arrays)
        length = len(keras.tree.flatten(x)[0])
        step = -(-length // rows)
        return _taken(x, slice(None, None, step)), _taken(y, slice(None, None, step))
    state = RandomState(*random_generators(loader_in(adapter)))
    try:
        batch = _first_of(adapter)
        x, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
        return _taken(x, slice(rows)), _taken(y, slice(rows))
    except Exception:
        # The user's code may fail when it is read beside `fit`, which must go on.
        return None
    finally:
        state.restore()


def fit_arrays(model: keras.Model) -> tuple[Any, Any] | None:
    """Inputs and targets of a running `fit` that was given arrays, else None."""
    run = running_fit(model)
    arrays = None if run is None else arrays_in(run.epoch_iterator.data_adapter)
    if arrays is None:
        return None
    x, y, _ = keras.utils.unpack_x_y_sample_weight(arrays)
    return x, y


def _first_of(adapter: Any) -> Any:
    dataset = getattr(adapter, "py_dataset", None)
    if dataset is not None:
        return standardized_batch(adapter, dataset[0])
    with contextlib.closing(iter(adapter.get_numpy_iterator())) as batches:
        return next(batches)


def _taken(values: Any, rows: slice) -> Any:
    return keras.tree.map_structure(
        lambda v: None if v is None else np.asarray(v)[rows], values
    )
