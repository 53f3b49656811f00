"""What makes a layer give other outputs in the next epoch: it trains, or draws."""

from typing import Any

import keras

from keras_deeptools.engine._stochastic import stochastic_layers

FROM_RATES = (
    keras.layers.Dropout,
    keras.layers.AlphaDropout,
    keras.layers.GaussianDropout,
    keras.layers.RNN,
    keras.layers.Attention,
    keras.layers.AdditiveAttention,
    keras.layers.MultiHeadAttention,
    keras.layers.GroupQueryAttention,
)
"""Layers that may hold a generator without drawing from it."""


def changes_in_training(layer: keras.Layer) -> bool:
    """Whether training changes the layer: its weights, statistics or state.

    Layers whose activity is penalized count too: the loss would lack the penalty.

    Args:
        layer: `keras.Layer`, for instance a model.
    """
    if any(variable.trainable for variable in layer.variables):
        return True
    quiet = _at_inference(layer)
    for inner in layer._flatten_layers():
        if inner.activity_regularizer is not None or getattr(inner, "stateful", False):
            return True
        if id(inner) in quiet:
            continue
        if isinstance(inner, keras.layers.BatchNormalization) and inner._trainable:
            return True
        if isinstance(inner, keras.layers.SpectralNormalization):
            return True
    return False


def draws_in_training(layer: keras.Layer) -> bool:
    """Whether the layer draws random numbers in training.

    Dropout, noise, augmentation; and layers of the user's own that hold a generator. A
    layer that draws without one cannot be seen.

    Args:
        layer: `keras.Layer`, for instance a model.
    """
    quiet = _at_inference(layer)
    dropping = {id(each) for each in stochastic_layers(layer)}
    for inner in layer._flatten_layers():
        if id(inner) in quiet and not getattr(inner, "stochastic_inference", False):
            continue
        if id(inner) in dropping:
            return True
        if inner._seed_generators and not isinstance(inner, FROM_RATES):
            if not _is_cell_at_rest(inner):
                return True
        if "StochasticDepth" in type(inner).__name__:
            return True
    return False


def _at_inference(layer: keras.Layer) -> set[int]:
    """Ids of the layers inside of those that always run as at inference."""
    return {
        id(inner)
        for outer in layer._flatten_layers()
        if getattr(outer, "always_at_inference", False)
        for inner in outer._flatten_layers()
    }


def _is_cell_at_rest(layer: Any) -> bool:
    """A recurrent cell, whose generator is for its rates of dropout only."""
    return hasattr(layer, "recurrent_dropout")
