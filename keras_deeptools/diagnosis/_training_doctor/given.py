"""What a running `fit` was given: samples to look at, settings, validation data."""

import contextlib
import time
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_deeptools.diagnosis._diagnose.facts import FitSettings
from keras_deeptools.engine._data.fit_batches import random_generators
from keras_deeptools.engine._data.fit_data import FitData
from keras_deeptools.engine._keras_private.data import (
    adapter_kind,
    arrays_in,
    batches_apart,
    first_batches_in,
    loader_in,
    standardized_batch,
)
from keras_deeptools.engine._state.random_state import RandomState
from keras_deeptools.engine._update.train_step import RunningFit, running_fit

ROWS = 256
SECONDS = 2.0
"""Time that data other than arrays are read for at most."""

MOST_BATCHES = 16


@dataclass(frozen=True, eq=False)
class Given:
    """What a `fit` was given.

    Attributes:
        x: Inputs of some samples, or None where they cannot be had.
        y: Targets of these samples, or None.
        positions: Int array, where these samples stand in the arrays; None for others.
        arrays: Tuple of all inputs and targets, where they are arrays; else None.
        settings: `FitSettings`.
        validation_data: As `fit` has them, or None.
        data: `FitData`.
        num_steps: Int, batches of an epoch; 0 where that is not known.
    """

    x: Any
    y: Any
    positions: np.ndarray | None
    arrays: tuple[Any, Any] | None
    settings: FitSettings
    validation_data: Any
    data: FitData
    num_steps: int

    @property
    def batch_size(self) -> int:
        """Samples in a batch of arrays."""
        return self.settings.batch_size or 32


def given_to(model: keras.Model, rows: int = ROWS) -> Given | None:
    """What the running `fit` of a model was given; None where no `fit` runs.

    Random states stay as they are. Of generators, which can be read only once, the
    batches are there that Keras has drawn and given back.

    Args:
        model: `keras.Model`. Call it in a callback.
        rows: Int, the most samples to look at.
    """
    run = running_fit(model)
    if run is None:
        return None
    adapter = run.epoch_iterator.data_adapter
    arrays = arrays_in(adapter)
    steps = int(run.params["steps"] or 0)
    found: dict[str, Any] = {"x": None, "y": None, "positions": None}
    whole = None
    if arrays is not None:
        x, y, _ = keras.utils.unpack_x_y_sample_weight(arrays)
        whole = (x, y)
        length = len(keras.tree.flatten(x)[0])
        step = -(-length // rows)
        positions = np.arange(0, length, step)
        # A sparse matrix, for instance, is no array.
        with contextlib.suppress(Exception):
            found = {"x": _taken(x, positions), "y": _taken(y, positions)}
            found["positions"] = positions
    else:
        found |= _read(adapter, rows)
    return Given(
        arrays=whole,
        settings=_settings(run, arrays is not None),
        validation_data=_readable(run.arguments["validation_data"]),
        data=FitData(model),
        num_steps=steps,
        **found,
    )


def _settings(run: RunningFit, are_arrays: bool) -> FitSettings:
    given = run.arguments
    shuffle = given["shuffle"] if are_arrays else False
    size = (given["batch_size"] or 32) if are_arrays else None
    return FitSettings(size, run.params["epochs"], bool(shuffle), given["class_weight"])


def _read(adapter: Any, rows: int) -> dict[str, Any]:
    """The first samples of a dataset, in its order."""
    state = RandomState(*random_generators(loader_in(adapter)))
    read: list[tuple[Any, Any]] = []
    try:
        count, began = 0, time.monotonic()
        with contextlib.closing(_batches(adapter)) as batches:
            for batch in batches:
                x, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
                read.append((x, y))
                count += len(keras.tree.flatten(x)[0])
                late = time.monotonic() - began > SECONDS
                if count >= rows or late or len(read) >= MOST_BATCHES:
                    break
        x, y = keras.tree.map_structure(_joined, *read)
        return {"x": _taken(x, slice(rows)), "y": _taken(y, slice(rows))}
    except Exception:
        # The user's code may fail when it is read beside `fit`, which must go on.
        return {}
    finally:
        state.restore()


def _batches(adapter: Any) -> Any:
    if adapter_kind(adapter) == "GeneratorDataAdapter":
        # Drawn, and given back, before training.
        yield from first_batches_in(adapter)
        return
    dataset = getattr(adapter, "py_dataset", None)
    if dataset is None:
        yield from batches_apart(adapter)
        return
    # Past the threads that load it for `fit` at the same time.
    for number in range(dataset.num_batches or MOST_BATCHES):
        yield standardized_batch(adapter, dataset[number])


def _readable(validation_data: Any) -> Any:
    """Arrays only, since other data may be readable only once."""
    if not isinstance(validation_data, (tuple, list)) or len(validation_data) < 2:
        return None
    flat = keras.tree.flatten(validation_data)
    if all(each is None or hasattr(each, "shape") for each in flat):
        return tuple(validation_data[:2])
    return None


def _joined(*parts: Any) -> Any:
    return None if parts[0] is None else np.concatenate([np.asarray(p) for p in parts])


def _taken(values: Any, rows: Any) -> Any:
    return keras.tree.map_structure(
        lambda v: None if v is None else np.asarray(v)[rows], values
    )
