"""What the leaves of a model do when they are frozen or trained."""

from typing import Any

import keras

from keras_deeptools._arguments import message
from keras_deeptools.engine import Trainability

BATCH_NORM = {
    "frozen": (False, False),
    "statistics": (True, False),
    "train": (True, True),
}
"""Whether a BatchNormalization updates its statistics, and trains its weights."""


def checked_model(owner: str, model: Any) -> keras.Layer:
    """Return `model` if it is a built Keras model or layer, or raise."""
    if not isinstance(model, keras.Layer):
        rule = "a Keras model or layer"
        raise TypeError(message(owner, "model", rule, model))
    if not model.built:
        remedy = "Give it an Input, or call it on a batch of data, first."
        raise ValueError(message(owner, "model", "built", model.name, remedy))
    return model


def leaf_states(
    leaves: list[keras.Layer], trains: bool, batch_norm: str
) -> list[Trainability]:
    """The states of leaves that are frozen or trained, batch normalization apart.

    Args:
        leaves: List of `keras.Layer`.
        trains: Bool.
        batch_norm: A key of `BATCH_NORM`.
    """
    states = []
    for leaf in leaves:
        flags = (trains, trains)
        if isinstance(leaf, keras.layers.BatchNormalization):
            flags = BATCH_NORM[batch_norm]
        states.append(Trainability(leaf, *flags))
    return states
