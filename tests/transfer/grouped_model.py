"""A model of three layer groups whose head does not feel what the body does."""

from typing import Any

import keras
import numpy as np

INPUTS = np.random.default_rng(0).normal(size=(64, 3)).astype("float32")
TARGETS = [
    np.random.default_rng(1).normal(size=(64, 2)).astype("float32"),
    np.random.default_rng(2).normal(size=(64, 3)).astype("float32"),
]


def grouped_model(optimizer: Any, nested: bool = False, **options: Any) -> keras.Model:
    """Groups `body`, `neck`, `head`; what each trains on reaches no other.

    Body and neck pass the inputs on beside their own outputs, which have a loss of
    their own; the head uses the inputs alone.
    """
    ones = {"kernel_initializer": "ones"}
    inputs = keras.Input((3,))
    start = keras.Input((3,)) if nested else inputs
    body = keras.layers.Dense(3, "tanh", name="body", **ones)(start)
    outputs = keras.layers.Concatenate(name="beside")([start, body])
    if nested:
        outputs = keras.Model(start, outputs, name="backbone")(inputs)
    neck = keras.layers.Dense(3, name="neck", **ones)(outputs[:, 3:])
    outputs = keras.layers.Concatenate(name="all")([outputs[:, :3], neck])
    head = keras.layers.Dense(2, name="head", **ones)(outputs[:, :3])
    model = keras.Model(inputs, [head, outputs[:, 3:]])
    model.compile(optimizer, loss=["mse", "mse"], **options)
    return model


def fit(model: keras.Model, epochs: int, **options: Any) -> keras.callbacks.History:
    """Eight batches an epoch, always in the same order."""
    options = {"batch_size": 8, "shuffle": False, "verbose": 0} | options
    return model.fit(INPUTS, TARGETS, epochs=epochs, **options)
