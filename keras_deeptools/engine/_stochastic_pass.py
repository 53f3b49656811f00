"""The compiled pass of a model, made once."""

import weakref
from numbers import Number
from typing import Any

import keras

from keras_deeptools.engine._compiled_pass import StochasticPass
from keras_deeptools.engine._tensors import tensors

CHANGED_BY_USE = {
    "_called",
    "_initial_epoch",
    "_jax_state_synced",
    "predict_function",
    "stop_evaluating",
    "stop_predicting",
    "stop_training",
    "test_function",
    "train_function",
    "training",
}
"""Attributes that `fit` and the like change, and that no trace depends on."""

_PASSES: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def stochastic_pass(model: keras.Model) -> StochasticPass:
    """The compiled pass of a model, compiled anew where the model has changed.

    Args:
        model: `keras.Model`, built.

    Returns:
        `StochasticPass`; the one of an earlier call while the model consists of the
        same layers, variables and settings. New values of variables are seen.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._stochastic_pass import stochastic_pass
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dropout(0.5)])
    >>> stochastic_pass(model) is stochastic_pass(model)
    True
    >>> found = stochastic_pass(model)
    >>> model.layers[0].rate = 0.25
    >>> stochastic_pass(model) is found
    False
    """
    tensors.synchronize(model)
    fingerprint = _fingerprint(model)
    found = _PASSES.get(model)
    if found is None or found[0] != fingerprint:
        found = _PASSES[model] = (fingerprint, StochasticPass(model))
    return found[1]


def _fingerprint(model: keras.Model) -> list[Any]:
    """All that a trace of the model may depend on, of every layer."""
    plain = (str, bool, Number, tuple, type(None))
    return [
        (
            id(layer),
            {
                name: value if isinstance(value, plain) else id(value)
                for name, value in vars(layer).items()
                if name not in CHANGED_BY_USE
                and (isinstance(value, plain) or callable(value))
            },
            [id(variable) for variable in layer._trainable_variables],
            [id(variable) for variable in layer._non_trainable_variables],
            len(getattr(layer, "_nodes", ())),
        )
        for layer in model._flatten_layers()
    ]
