"""Pooling of what a backbone gives: a map of features, or a sequence of tokens."""

import keras


def pooling_layer(pooling: str, rank: int, name: str) -> keras.Layer:
    """A layer that pools over all places.

    Args:
        pooling: Str, `"avg"` or `"max"`.
        rank: Int, 4 for a map `(batch, height, width, features)`, or with the features
            first as Keras is configured; 3 for tokens `(batch, tokens, features)`.
        name: Str, name of the layer.

    Example:

    >>> import numpy as np
    >>> from keras_deeptools.transfer._pooling import pooling_layer
    >>> tokens = np.arange(6.0).reshape(1, 3, 2)
    >>> [round(float(x)) for x in pooling_layer("avg", 3, "mean")(tokens)[0]]
    [2, 3]
    """
    layers = keras.layers
    if rank == 4:
        maps = {"avg": layers.GlobalAveragePooling2D, "max": layers.GlobalMaxPooling2D}
        return maps[pooling](name=name)
    # Tokens have their features last, whatever images have.
    rows = {"avg": layers.GlobalAveragePooling1D, "max": layers.GlobalMaxPooling1D}
    return rows[pooling](data_format="channels_last", name=name)
