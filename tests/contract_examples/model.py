"""What the examples train and are trained on."""

import keras
import numpy as np

INPUTS = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
TARGETS = INPUTS[:, :1] * INPUTS[:, 1:2]


def small_model() -> keras.Model:
    """A compiled model for `INPUTS` and `TARGETS`; the same weights every time."""
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(
                8, "tanh", kernel_initializer=keras.initializers.GlorotUniform(seed=1)
            ),
            keras.layers.Dense(
                1, kernel_initializer=keras.initializers.GlorotUniform(seed=2)
            ),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01, name="adam"), "mean_squared_error")
    return model
