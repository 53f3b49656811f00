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
from keras_deeptools.engine import layers_of, leaves_of
from keras_deeptools.transfer._layer_group import LayerGroup, LayerGroups

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
