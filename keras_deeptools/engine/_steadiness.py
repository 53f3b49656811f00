"""What makes a layer give other outputs in the next epoch: it trains, or draws."""

from typing import Any

import keras

from keras_deeptools.engine._stochastic import stochastic_layers

RATED = (
    keras.layers.Dropout,
    keras.layers.AlphaDropout,
    keras.layers.GaussianDropout,
    keras.layers.RNN,
    keras.layers.Attention,
    keras.layers.AdditiveAttention,
    keras.layers.MultiHeadAttention,
    keras.layers.GroupQueryAttention,
    keras.layers.LSTMCell,
    keras.layers.GRUCell,
    keras.layers.SimpleRNNCell,
)
"""Layers whose generator serves their dropout only, which may be off."""


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
        if isinstance(inner, keras.layers.SpectralNormalization):
            return True
        if isinstance(inner, keras.layers.BatchNormalization) and inner._trainable:
            return True
    return False


def draws_in_training(layer: keras.Layer) -> bool:
    """Whether the layer draws random numbers in training.

    Dropout, noise and augmentation, and layers of the user's own that hold a
    `SeedGenerator`. One that draws without cannot be told from others.

    Args:
        layer: `keras.Layer`, for instance a model.
    """
    quiet = _at_inference(layer)
    dropping = {id(each) for each in stochastic_layers(layer)}
    return any(
        id(inner) in dropping
        or (bool(inner._seed_generators) and not isinstance(inner, RATED))
        or "StochasticDepth" in type(inner).__name__
        for inner in layer._flatten_layers()
        if id(inner) not in quiet or getattr(inner, "stochastic_inference", False)
    )


def generator_states(layers: list[keras.Layer]) -> list[Any]:
    """The variables that the random generators of layers count with."""
    found = {
        id(generator.state): generator.state
        for layer in layers
        for inner in layer._flatten_layers()
        for generator in inner._seed_generators
    }
    return list(found.values())


def _at_inference(layer: keras.Layer) -> set[int]:
    """Ids of the layers inside of those that always run as at inference."""
    return {
        id(inner)
        for outer in layer._flatten_layers()
        if getattr(outer, "always_at_inference", False)
        for inner in outer._flatten_layers()
    }
