"""A valid instance of every public class of `keras_deeptools.transfer`."""

from collections.abc import Callable

import keras

from keras_deeptools import transfer

EXAMPLES: dict[str, Callable[[], object]] = {
    "keras_deeptools.transfer.InferenceMode": lambda: transfer.InferenceMode(
        keras.layers.Dense(4)
    ),
}
