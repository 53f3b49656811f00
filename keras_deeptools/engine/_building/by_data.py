"""Models that know their sizes only from data."""

from typing import Any

import keras

from keras_deeptools.engine._building.first_call import build_on, has_call, reason_of
from keras_deeptools.engine._data.predict_rows import RowBatches
from keras_deeptools.engine._keras_private.layers import flat_layers


def built_by(model: keras.Model, x: Any, owner: str) -> None:
    """Builds a model by rows of data, unless it is built.

    Args:
        model: `keras.Model`.
        x: Inputs, a structure of arrays `(rows, ...)`.
        owner: Str. Who is named in errors.

    Raises:
        ValueError: If the model cannot be called on them.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.engine._building.by_data import built_by
    >>> model = keras.Sequential([keras.layers.Dense(3)])
    >>> built_by(model, np.ones((2, 4)), "example")
    >>> model.built, tuple(model.weights[0].shape)
    (True, (4, 3))
    """
    if model.built:
        return
    if not has_call(model):
        raise ValueError(
            f"{owner}: `model` must have a method `call`. Received: "
            f"model={model.name!r} of type {type(model).__name__}, which has none. "
            "Give the network inside it that predicts."
        )
    try:
        build_on(model, x)
    except Exception as error:
        shapes = keras.tree.map_structure(lambda a: a if a is None else a.shape, x)
        raise ValueError(
            f"{owner}: `x` must be data that the model takes. Received: arrays of "
            f"shape {shapes}, for which the model, which is not built yet, raised "
            f"{type(error).__name__}: {reason_of(error)}"
        ) from error


def built_by_first(model: keras.Model, batches: RowBatches, owner: str) -> None:
    """Builds a model by the first batch of data, unless it is built or there is none.

    Args:
        model: `keras.Model`.
        batches: `RowBatches` of inputs, which give that batch again.
        owner: Str. Who is named in errors.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.engine._building.by_data import built_by_first
    >>> from keras_deeptools.engine._data.predict_rows import RowBatches
    >>> model = keras.Sequential([keras.layers.Dense(3)])
    >>> built_by_first(model, RowBatches(np.ones((2, 4)), 2), "example")
    >>> model.built
    True
    """
    first = None if model.built else batches.peek()
    if first is not None:
        built_by(model, first, owner)


def mark_built(model: keras.Model) -> None:
    """Marks a model as built whose layers all are.

    Keras builds a subclassed model by the sizes that a file tells, but leaves its mark
    out.

    Args:
        model: `keras.Model`.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._building.by_data import mark_built
    >>> model = keras.Sequential([keras.layers.Dense(3)])
    >>> mark_built(model)
    >>> model.built
    False
    """
    layers = list(flat_layers(model, include_self=False))
    if not model.built and model.weights and all(layer.built for layer in layers):
        model.built = True
