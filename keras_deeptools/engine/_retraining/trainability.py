"""Whether layers train, leaf by leaf, past the setter that reaches all below."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import keras

from keras_deeptools.engine._keras_private.layers import (
    direct_layers,
    flat_layers,
    held_weights,
    own_flag,
    set_own_flag,
)


@dataclass(frozen=True)
class Trainability:
    """Whether one layer trains, and which of its own weights do.

    Args:
        layer: `keras.Layer`, one of `leaves_of`.
        trains: Bool. The layer's own flag, which files hold, and which decides whether
            batch normalization updates its statistics.
        weights: Bool. Whether the weights that the layer holds itself are trained.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._retraining.trainability import Trainability
    >>> from keras_deeptools.engine._retraining.retrain import retrain
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> memory = retrain(model, [Trainability(model.layers[0], False, False)])
    >>> len(model.trainable_variables)
    0
    """

    layer: keras.Layer
    trains: bool
    weights: bool


def leaves_of(layer: keras.Layer) -> list[keras.Layer]:
    """The layers inside a model or layer that hold weights, or no other layers.

    Args:
        layer: `keras.Layer`, for instance a model.

    Returns:
        List of `keras.Layer`, each once.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._retraining.trainability import leaves_of
    >>> inner = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="a")])
    >>> model = keras.Sequential([inner, keras.layers.ReLU(name="b")])
    >>> [leaf.name for leaf in leaves_of(model) if leaf.weights]
    ['a']
    """
    return [
        inner
        for inner in flat_layers(layer)
        if not direct_layers(inner) or own_weights(inner)
    ]


def own_weights(layer: keras.Layer) -> list[Any]:
    """The variables that a layer holds itself and that can be trained, frozen or not.

    Args:
        layer: `keras.Layer`, built.

    Returns:
        List of `keras.Variable`; moving statistics are not among them.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._retraining.trainability import own_weights
    >>> layer = keras.layers.BatchNormalization(trainable=False)
    >>> layer.build((None, 2))
    >>> [variable.name for variable in own_weights(layer)]
    ['gamma', 'beta']
    """
    return list(held_weights(layer))


class Flags:
    """The flags of all layers and weights under `root`, to be put back."""

    def __init__(self, root: keras.Layer) -> None:
        self._states = [
            (each, own_flag(each), [(v, v.trainable) for v in own_weights(each)])
            for each in flat_layers(root)
        ]

    def restore(self, layers: Iterable[keras.Layer] | None = None) -> None:
        """Puts back all flags, or those of `layers` only."""
        chosen = None if layers is None else {id(layer) for layer in layers}
        for layer, trains, weights in self._states:
            if chosen is None or id(layer) in chosen:
                set_own_flag(layer, trains)
                for variable, flag in weights:
                    variable.trainable = flag


def set_flags(root: keras.Layer, states: Iterable[Trainability]) -> None:
    """Sets the flags of leaves; what encloses one that trains lets it train."""
    training = set()
    for state in states:
        set_own_flag(state.layer, state.trains)
        for variable in own_weights(state.layer):
            variable.trainable = state.weights
        if state.weights:
            training.add(id(state.layer))
    for layer in flat_layers(root):
        if direct_layers(layer) and training & {id(x) for x in flat_layers(layer)}:
            set_own_flag(layer, True)
