"""Creating the variables that a first training step creates, without training."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._backends.active import training
from keras_deeptools.engine._backends.common import on_host
from keras_deeptools.engine._data.batch_loss import running_metrics
from keras_deeptools.engine._keras_private.layers import (
    INITIALIZE,
    flat_layers,
    tracker_of,
)
from keras_deeptools.engine._keras_private.training import compiled_parts
from keras_deeptools.engine._patching import replaced_in_thread
from keras_deeptools.engine._state.random_state import RandomState
from keras_deeptools.engine._state.snapshot import Snapshot, Structure


def build_in_first_step(model: keras.Model, batch: Any) -> None:
    """Creates on TensorFlow what `fit` creates in its first step.

    There `fit` builds no model before it trains: layers, metrics and the optimizer get
    their variables while the first step is traced. So is it here, and the trace is
    thrown away. A model whose own `train_step` never calls it is built like any other,
    and none is called on what it was not made for. Eager models take the step, and all
    of it but the new variables is undone.

    Args:
        model: `keras.Model`, compiled.
        batch: What `fit` would hand to `train_step`.
    """
    if not model.run_eagerly:
        with unbuilt_again_on_failure(model):
            training.trace_step(model, batch)
        return
    snapshot = Snapshot(model)
    created: list[tuple[Any, np.ndarray]] = []
    try:
        with _initial_values(created):
            model.train_step(batch)
    finally:
        snapshot.restore()
        for variable, value in created:
            variable.assign(value)


@contextlib.contextmanager
def unbuilt_again_on_failure(model: keras.Model) -> Iterator[None]:
    """Leaves a model as it was where building it on a batch fails in the block.

    What a failed trace made never gets a value, and losses and metrics would stay as
    they were built for data that do not fit.
    """
    parts = [*flat_layers(model), *running_metrics(model), *compiled_parts(model)]
    parts += [tracker_of(part) for part in parts]
    structures = [Structure(part) for part in parts if part is not None]
    random = RandomState()
    try:
        yield
    except BaseException:
        random.restore()
        for structure in structures:
            structure.restore()
        raise


def _initial_values(
    created: list[tuple[Any, np.ndarray]],
) -> contextlib.AbstractContextManager:
    """Notes the values that variables are made with in the block, by this thread."""

    def make(initialize: Callable) -> Callable:
        def noting(self: Any, value: Any) -> None:
            initialize(self, value)
            created.append((self, on_host(self)))

        return noting

    return replaced_in_thread(keras.Variable, INITIALIZE, make)
