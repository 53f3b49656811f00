"""Building a model before the first step, from the data that `fit` has."""

import keras

from keras_deeptools.engine._keras_private.data import dataset_in
from keras_deeptools.engine._update.step_reads import lacks_what_it_reads
from keras_deeptools.engine._update.train_step import running_fit


def build_for_fit(model: keras.Model) -> None:
    """Builds a model that is built only in the first step, where `fit` is running.

    TensorFlow's `fit` knows the shapes of the data before any callback, but builds
    models later. Initial values are drawn as they would be. Does nothing where the
    model is built, where no `fit` runs, or where the data do not tell their shapes.

    Args:
        model: `keras.Model`.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.engine._building.before_fit import build_for_fit
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
