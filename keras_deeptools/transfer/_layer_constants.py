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

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.transfer._layer_constants import refresh_constants
    >>> layer = keras.layers.Normalization()
    >>> model = keras.Sequential([keras.Input((1,)), layer])
    >>> model.set_weights([np.array([3.0]), np.array([4.0]), np.array(0)])
    >>> refresh_constants(model)
    >>> float(model(np.array([[7.0]]))[0, 0])
    2.0
    """
    for layer, _ in layers_of(model):
        if isinstance(layer, keras.layers.Normalization) and layer.weights:
            layer.finalize_state()
