"""A valid instance of every result of `mc_predict`."""

from collections.abc import Callable

import keras
import numpy as np

from keras_deeptools import uncertainty


def _prediction() -> uncertainty.MCPrediction:
    model = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dropout(0.5), keras.layers.Dense(1)]
    )
    return uncertainty.mc_predict(model, np.ones((2, 2)), 3, seed=0, verbose=0)


EXAMPLES: dict[str, Callable[[], object]] = {
    "keras_deeptools.uncertainty.MCPrediction": _prediction,
    "keras_deeptools.uncertainty.VarianceParts": lambda: _prediction().variance(),
}
