"""Activation, normalization and dropout that fit together, from a search."""

import contextlib
from dataclasses import dataclass
from typing import Any

import keras

from keras_deeptools._arguments import message
from keras_deeptools.initializers import gain
from keras_deeptools.tuning._search_space.ranges import IntRange, OneOf

# First choices for shallow and for deep networks. Not ELU: the best of twenty random
# trials with it was no better than with these on Fashion-MNIST, and worse on digits
# (benchmarks/search_choices.py).
PLAIN = ("relu", "silu")
NORMALIZATIONS = ("batch", "layer", "none")
# Searches train for few steps: with Keras' 0.99 validation would see statistics of
# the first of them.
MOMENTUM = 0.9

Size = IntRange | OneOf | int
"""A number of layers or units, or what it is searched in."""


@dataclass(frozen=True)
class Parts:
    """What belongs to a hidden layer beside its weights.

    Args:
        activation: Name of an activation.
        normalization: One of `NORMALIZATIONS`.
        dropout: `"none"`, `"alpha"` or one of the kinds that were asked for.
        rate: Float in [0, 1), the dropout rate; None without dropout.
    """

    activation: str
    normalization: str
    dropout: str
    rate: float | None

    def initializer(self, first: bool = False) -> keras.initializers.Initializer:
        """He's for ReLU, LeCun's for SELU, the one of the same kind for others.

        Args:
            first: Bool. Whether the layer's inputs have been through no activation.
        """
        scale = 1.0 if first else gain(self.activation) ** 2
        return keras.initializers.VarianceScaling(scale, "fan_in", "truncated_normal")

    def norm(self) -> list[keras.Layer]:
        """The normalization layer, if any."""
        if self.normalization == "batch":
            return [keras.layers.BatchNormalization(momentum=MOMENTUM)]
        if self.normalization == "layer":
            return [keras.layers.LayerNormalization()]
        return []

    def drop(self) -> list[keras.Layer]:
        """The dropout layer, if any."""
        kinds = {
            "alpha": keras.layers.AlphaDropout,
            "dropout": keras.layers.Dropout,
            "gaussian": keras.layers.GaussianDropout,
            "spatial": keras.layers.SpatialDropout2D,
        }
        if self.dropout == "none" or not self.rate:
            return []
        return [kinds[self.dropout](self.rate)]


def ask_parts(
    hp: Any, prefix: str, dropouts: tuple[str, ...], activations: tuple[str, ...]
) -> Parts:
    """Gets parts that fit together from a search.

    SELU stands alone, with LeCun's initialization and AlphaDropout: Klambauer et al.,
    2017. All scopes are entered, so that a tuner knows every hyperparameter from the
    start.

    Args:
        hp: `keras_tuner.HyperParameters`.
        prefix: Str, first part of the names.
        dropouts: Kinds of dropout to choose from beside none.
        activations: Names of activations, the first is the default.
    """
    activation, rate, alpha = activations[0], None, None
    if len(activations) > 1:
        activation = hp.Choice(f"{prefix}/activation", [*activations])

    def where(names: list[str]) -> Any:
        if names == [*activations]:
            return contextlib.nullcontext()
        return hp.conditional_scope(f"{prefix}/activation", names)

    normalization, dropout = "none", "alpha"
    plain = [name for name in activations if name != "selu"]
    if plain:
        with where(plain):
            name = f"{prefix}/normalization"
            normalization = hp.Choice(name, [*NORMALIZATIONS], default="batch")
            name = f"{prefix}/dropout"
            dropout = hp.Choice(name, ["none", *dropouts], default="none")
            with hp.conditional_scope(name, [*dropouts]):
                rate = hp.Float(f"{prefix}/dropout_rate", 0.05, 0.5, default=0.2)
    if "selu" in activations:
        with where(["selu"]):
            alpha = hp.Float(f"{prefix}/alpha_dropout_rate", 0.0, 0.2, default=0.05)
    if activation == "selu":
        return Parts("selu", "none", "alpha", alpha)
    return Parts(activation, normalization, dropout, rate)


def checked_size(owner: str, argument: str, value: Any) -> Size:
    """Returns a number >= 1 or a range of such, or raises.

    Args:
        owner: Str. Whom an error names.
        argument: Str. The argument's name.
        value: What was given.
    """
    numbers: list[Any] = [value]
    if isinstance(value, IntRange):
        numbers = [value.low]
    elif isinstance(value, OneOf):
        numbers = [*value.values]
    if all(type(each) is int and each >= 1 for each in numbers):
        return value
    rule = "an int >= 1, an IntRange or a OneOf of such"
    raise ValueError(message(owner, argument, rule, value))


def ask_size(hp: Any, name: str, value: Size, default: int) -> int:
    """Gets a number from a search, by default the middle of the range.

    Args:
        hp: `keras_tuner.HyperParameters`.
        name: Str, name of the hyperparameter.
        value: What `checked_size` returned.
        default: Int, the default where it is in the range.
    """
    if isinstance(value, int):
        return value
    if isinstance(value, OneOf):
        return value.ask(hp, name)
    if not value.low <= default <= value.high:
        default = value.middle
    sampling = "log" if value.log else "linear"
    return hp.Int(name, value.low, value.high, sampling=sampling, default=default)


def largest(value: Size) -> int:
    """The largest number that a search may ask for.

    Args:
        value: What `checked_size` returned.
    """
    if isinstance(value, OneOf):
        return max(value.values)
    return value.high if isinstance(value, IntRange) else value


def apply(layers: list[keras.Layer], features: Any) -> Any:
    """Applies layers one after another.

    Args:
        layers: List of layers.
        features: Symbolic tensor.
    """
    for layer in layers:
        features = layer(features)
    return features
