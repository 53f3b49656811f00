"""Changes of layers: initial weights, activations, dropout, penalties, sequences."""

from typing import Any

import keras

from keras_deeptools.diagnosis._audit.subject import DROPOUTS, activation_of
from keras_deeptools.diagnosis._repair.recipe import (
    Case,
    Recipe,
    Recipes,
    changed_or_none,
)

INITIALIZERS = {
    "selu": "lecun_normal",
    "sigmoid": "glorot_uniform",
    "softmax": "glorot_uniform",
    "tanh": "glorot_uniform",
}
"""Initializers for activations; He's for all others."""

USUAL_DROPOUT = 0.25
PENALTY = 0.01
"""Part of the loss that penalties may make up."""


def initialize(case: Case) -> Recipes:
    """Initial weights for the activations that there are, or Keras' own; no biases."""
    fitting = default = case.recipe
    for layer in case.hidden:
        name = INITIALIZERS.get(activation_of(layer) or "", "he_normal")
        changes: dict[str, Any] = {}
        bias = getattr(layer, "bias_initializer", None)
        if bias is not None and not isinstance(bias, keras.initializers.Zeros):
            changes["bias_initializer"] = "zeros"
        fitting = fitting.with_layer(layer.name, kernel_initializer=name, **changes)
        default = default.with_layer(
            layer.name, kernel_initializer="glorot_uniform", **changes
        )
    if fitting.layers == default.layers:
        return changed_or_none(fitting, case.recipe)
    return [fitting, default] if case.hidden else []


def rectify(case: Case) -> Recipes:
    """ReLU in hidden layers, with initial weights that suit it."""
    return changed_or_none(_activated(case, "relu"), case.recipe)


def other_activation(case: Case) -> Recipes:
    """ReLU in hidden layers, or tanh, which goes with higher learning rates."""
    return [*rectify(case), *changed_or_none(_activated(case, "tanh"), case.recipe)]


def _activated(case: Case, name: str) -> Recipe:
    recipe = case.recipe
    for layer in case.hidden:
        if hasattr(layer, "activation"):
            recipe = recipe.with_layer(
                layer.name,
                activation=name,
                kernel_initializer=INITIALIZERS.get(name, "he_normal"),
            )
    return recipe


def rectify_or_initialize(case: Case) -> Recipes:
    """ReLU, or the activations that there are with initial weights that suit them."""
    return [*rectify(case), *initialize(case)[:1]]


def revive(case: Case) -> Recipes:
    """New initial weights, or activations that are never off."""
    recipe = case.recipe
    for layer in case.hidden:
        if activation_of(layer) == "relu":
            recipe = recipe.with_layer(
                layer.name, activation="leaky_relu", kernel_initializer="he_normal"
            )
    return [*initialize(case)[:1], *changed_or_none(recipe, case.recipe)]


def bounded_recurrence(case: Case) -> Recipes:
    """tanh, Keras' default, in recurrent layers."""
    kinds = (keras.layers.LSTM, keras.layers.GRU, keras.layers.SimpleRNN)
    recipe = case.recipe
    for layer in case.layers:
        if isinstance(layer, kinds) and activation_of(layer) == "relu":
            recipe = recipe.with_layer(layer.name, activation="tanh")
    return changed_or_none(recipe, case.recipe)


def less_dropout(case: Case) -> Recipes:
    """A usual dropout rate or none; none on outputs or if a normalization follows."""
    recipe = without = case.recipe
    at_one_place = case.finding.kind != "dropout rate too high"
    for layer in case.layers:
        rate = getattr(layer, "rate", None)
        if not isinstance(layer, DROPOUTS) or not isinstance(rate, (int, float)):
            continue
        if at_one_place and layer.name == case.finding.where:
            without = without.with_layer(layer.name, rate=0.0)
        elif not at_one_place and rate >= 0.8:
            recipe = recipe.with_layer(layer.name, rate=USUAL_DROPOUT)
            without = without.with_layer(layer.name, rate=0.0)
    return [each for each in (recipe, without) if each is not case.recipe]


def alpha_dropout(case: Case) -> Recipes:
    """Dropout that leaves the mean and variance of SELU as they are."""
    recipe = case.recipe
    for layer in case.layers:
        if type(layer) is keras.layers.Dropout:
            recipe = recipe.with_layer(layer.name, class_name="AlphaDropout")
    return changed_or_none(recipe, case.recipe)


def less_regularization(case: Case) -> Recipes:
    """Penalties that are a small part of the loss, or none."""
    ratio = float(case.finding.evidence.get("ratio", 1e4))
    smaller = without = case.recipe
    for layer in case.layers:
        for key, value in _penalties(layer):
            scaled = {
                name: number * PENALTY / max(ratio, PENALTY)
                for name, number in value.get_config().items()
                if isinstance(number, float)
            }
            chosen = type(value)(**scaled) if scaled else None
            smaller = smaller.with_layer(layer.name, **{key: _as_config(chosen)})
            without = without.with_layer(layer.name, **{key: None})
    return [
        *changed_or_none(smaller, case.recipe),
        *changed_or_none(without, case.recipe),
    ]


def _penalties(layer: Any) -> list[tuple[str, Any]]:
    names = [name for name in vars(layer) if name.endswith("_regularizer")]
    found = [(name, getattr(layer, name)) for name in names]
    return [(name, value) for name, value in found if value is not None]


def _as_config(regularizer: Any) -> Any:
    return None if regularizer is None else keras.regularizers.serialize(regularizer)


def quicker_averages(case: Case) -> Recipes:
    """BatchNormalization whose averages follow within the updates that are planned."""
    recipe = case.recipe
    planned = max(int(case.finding.evidence.get("updates", case.num_updates)), 1)
    momentum = float(min(max(1 - 10 / planned, 0.5), 0.9))
    for layer in case.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            recipe = recipe.with_layer(layer.name, momentum=momentum)
    return changed_or_none(recipe, case.recipe)


def wider(case: Case) -> Recipes:
    """More units in a layer that all outputs hang on."""
    units = max(32, 4 * int(case.finding.evidence["outputs"]))
    recipe = case.recipe
    for layer in _named(case):
        if getattr(layer, "units", units) < units:
            recipe = recipe.with_layer(layer.name, units=units)
    return changed_or_none(recipe, case.recipe)


def wider_constraint(case: Case) -> Recipes:
    """A limit that leaves initial weights as they are, or none."""
    limit = keras.constraints.serialize(keras.constraints.MaxNorm(3))
    wide = without = case.recipe
    for layer in case.layers:
        if getattr(layer, "kernel_constraint", None) is not None:
            wide = wide.with_layer(layer.name, kernel_constraint=limit)
            without = without.with_layer(layer.name, kernel_constraint=None)
    return [] if wide is case.recipe else [wide, without]


def linear_logits(case: Case) -> Recipes:
    """No activation of the layer whose outputs go into softmax or sigmoid."""
    recipe = case.recipe
    for layer in _named(case):
        if hasattr(layer, "activation"):
            recipe = recipe.with_layer(layer.name, activation="linear")
    return changed_or_none(recipe, case.recipe)


def _named(case: Case) -> list[Any]:
    """The layers that a finding is about."""
    names = case.finding.where.split(", ")
    return [layer for layer in case.layers if layer.name in names]


def last_vector(case: Case) -> Recipes:
    """A recurrent layer that returns its last output only."""
    recurrent = [
        layer
        for layer in case.layers
        if isinstance(layer, keras.layers.RNN) and layer.return_sequences
    ]
    if not recurrent:
        return []
    return [case.recipe.with_layer(recurrent[-1].name, return_sequences=False)]


def larger_vocabulary(case: Case) -> Recipes:
    """A row of the embedding for each id."""
    most = int(case.finding.evidence["most"])
    return [
        case.recipe.with_layer(
            case.finding.where, input_dim=most + 1, embeddings_initializer="uniform"
        )
    ]


def mask_padding(case: Case) -> Recipes:
    """Zeros that a recurrent layer passes over."""
    return [case.recipe.with_layer(case.finding.where, mask_zero=True)]
