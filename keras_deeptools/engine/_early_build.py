"""Building a model before the first step, from the data that `fit` has."""

import sys
from types import FrameType
from typing import Any

import keras

from keras_deeptools.engine._interruption import _is_fit
from keras_deeptools.engine._step_reads import lacks_what_it_reads


def build_for_fit(model: keras.Model) -> None:
    """Builds a model that is built only in the first step, where `fit` is running.

    TensorFlow's `fit` knows the shapes of the data before any callback, but builds
    models later. Initial values are drawn as they would be. Does nothing where the
    model is built, where no `fit` runs, or where the data do not tell their shapes.

    Args:
        model: `keras.Model`.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.engine import build_for_fit
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
    dataset = getattr(_iterator_of(model), "_distributed_dataset", None)
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


def _iterator_of(model: Any) -> Any:
    """What feeds the running `fit` of a model, or None."""
    for newest in sys._current_frames().values():
        frame: FrameType | None = newest
        while frame is not None:
            if _is_fit(frame, model) and "epoch_iterator" in frame.f_locals:
                return frame.f_locals["epoch_iterator"]
            frame = frame.f_back
    return None
