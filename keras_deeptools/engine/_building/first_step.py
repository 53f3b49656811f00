"""Building a model for `fit`: before its first step, or as that step would."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._backends.active import training
from keras_deeptools.engine._backends.common import on_host
from keras_deeptools.engine._data.batch_loss import running_metrics
from keras_deeptools.engine._keras_private.data import dataset_in
from keras_deeptools.engine._keras_private.layers import (
    INITIALIZE,
    flat_layers,
    tracker_of,
)
from keras_deeptools.engine._keras_private.training import compiled_parts
from keras_deeptools.engine._patching import replaced_in_thread
from keras_deeptools.engine._state.random_state import RandomState
from keras_deeptools.engine._state.snapshot import Snapshot, Structure
from keras_deeptools.engine._update.step_reads import lacks_what_it_reads
from keras_deeptools.engine._update.train_step import running_fit


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


def build_for_fit(model: keras.Model) -> None:
    """Builds a model that is built only in the first step, where `fit` is running.

    TensorFlow's `fit` knows the shapes of the data before any callback, but builds
    models later. Initial values are drawn as they would be. Does nothing where the
    model is built, where no `fit` runs, or where the data do not tell their shapes.

    Args:
        model: `keras.Model`.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.engine._building.first_step import build_for_fit
    >>> class Build(keras.callbacks.Callback):
    ...     def on_train_begin(self, logs=None):
    ...         build_for_fit(self.model)
    ...         print(self.model.built)
    >>> model = keras.Sequential([keras.layers.Dense(1)])
    >>> model.compile("sgd", loss="mse")
    >>> x, y = np.ones((8, 2)), np.ones((8, 1))
    >>> history = model.fit(x, y, callbacks=[Build()], verbose=0)
    True
    """
    if model.built:
        return
    run = running_fit(model)
    iterator = None if run is None else run.epoch_iterator
    dataset = dataset_in(iterator)
    spec = getattr(dataset, "element_spec", None)
    inputs, _, _ = keras.utils.unpack_x_y_sample_weight(spec)
    if inputs is not None:
        model.build(keras.tree.map_structure(lambda each: tuple(each.shape), inputs))


def build_for_optimizers(model: keras.Model) -> None:
    """Builds a model for `fit` whose own `build` may make what its train step reads.

    An optimizer that is made there would otherwise come after the callbacks have
    looked for it.

    Args:
        model: `keras.Model`.
    """
    if not model.built and lacks_what_it_reads(model):
        build = type(model).build
        if getattr(build, "__module__", "").partition(".")[0] != "keras":
            build_for_fit(model)
