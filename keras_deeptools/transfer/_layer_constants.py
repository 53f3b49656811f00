"""What layers compute once from their weights."""

import keras

from keras_deeptools.engine import layers_of


def refresh_constants(model: keras.Model) -> None:
    """Lets `Normalization` layers compute with the weights that they have now.

    They make constants of their weights when these are adapted or loaded from a file.
    After an assignment they would go on with the old ones, but for torch, where the
    constants share the memory of the weights.

    Args:
        model: `keras.Model` whose weights have been assigned.
    """
    for layer, _ in layers_of(model):
        if isinstance(layer, keras.layers.Normalization) and layer.weights:
            layer.finalize_state()
