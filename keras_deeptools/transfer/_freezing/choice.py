"""The leaves of a model that a user has chosen."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_deeptools._arguments import message
from keras_deeptools._layer_choice import (
    Choice,
    Layers,
    checked_choices,
    layer_fits,
    listed,
)
from keras_deeptools.engine._graph.layers import layers_of
from keras_deeptools.engine._retraining.trainability import Trainability, leaves_of
from keras_deeptools.transfer._layer_groups.groups import LayerGroup, LayerGroups

Choices = Layers | LayerGroup | LayerGroups | Sequence[Choice | LayerGroup]


def chosen_leaves(owner: str, model: keras.Layer, layers: Choices) -> list[keras.Layer]:
    """The layers under the choices that hold weights, or no other layers.

    Args:
        owner: Str. Who is named in errors.
        model: `keras.Layer`.
        layers: None for all, or one or several names, patterns, layers, layer groups
            or functions.

    Returns:
        List of `keras.Layer`, each once, in the order of the model.

    Raises:
        TypeError: If `layers` is none of these.
        ValueError: If a choice matches nothing that has weights.
    """
    choices = checked_choices(owner, _without_groups(layers))
    every = leaves_of(model)
    if choices is None:
        return every
    inside = [layer for layer, _ in layers_of(model)]
    chosen: set[int] = set()
    for choice in choices:
        found = _matching(choice, model, inside)
        leaves = [leaf for layer in found for leaf in leaves_of(layer)]
        if not any(leaf.weights for leaf in leaves):
            received = choice.name if isinstance(choice, keras.Layer) else choice
            rule = "layers of the model that have weights"
            names = listed(leaf.name for leaf in every if leaf.weights)
            raise ValueError(message(owner, "layers", rule, received, names))
        chosen |= {id(leaf) for leaf in leaves}
    return [leaf for leaf in every if id(leaf) in chosen]


def _without_groups(layers: Any) -> Any:
    """The choices with the layers of a group in its place."""
    if isinstance(layers, LayerGroup):
        return list(layers.layers)
    if isinstance(layers, (list, tuple, LayerGroups)):
        flat: list[Any] = []
        for choice in layers:
            plain = _without_groups(choice)
            flat += plain if isinstance(choice, LayerGroup) else [plain]
        return flat
    return layers


def _matching(
    choice: Any, model: keras.Layer, inside: list[keras.Layer]
) -> list[keras.Layer]:
    if isinstance(choice, keras.Layer):
        return [layer for layer in inside if layer is choice]
    parts = [layer for layer in inside if layer is not model]
    if isinstance(choice, str):
        return [layer for layer in parts if layer_fits(layer, choice)]
    return [layer for layer in parts if choice(layer)]


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
