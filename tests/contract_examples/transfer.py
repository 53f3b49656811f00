"""A valid instance of every public class of `keras_deeptools.transfer`."""

from collections.abc import Callable

import keras
import numpy as np

from keras_deeptools import transfer

EXAMPLES: dict[str, Callable[[], object]] = {
    "keras_deeptools.transfer.DepthProbe": lambda: transfer.DepthProbe(
        ("low", "high"), ("head",), np.array([[0.5, 0.7], [0.8, 0.9]]), 20, 2
    ),
    "keras_deeptools.transfer.InferenceMode": lambda: transfer.InferenceMode(
        keras.layers.Dense(4)
    ),
}

# Handles on a model's own layers, which a copy or a pickle would not be.
HANDLES = {
    "keras_deeptools.transfer.CachedFeatures",
    "keras_deeptools.transfer.LayerGroup",
    "keras_deeptools.transfer.LayerGroups",
}
