"""Dropout on, everything else in inference."""

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import keras
from keras.src.layers.rnn.dropout_rnn_cell import DropoutRNNCell
from keras.src.layers.rnn.rnn import RNN

from keras_deeptools.engine._backends.active import random_functions
from keras_deeptools.engine._dropout.mask_sampling import Draws
from keras_deeptools.engine._patching import replaced

DROPOUT = (
    keras.layers.Dropout,
    keras.layers.AlphaDropout,
    keras.layers.GaussianDropout,
)
ATTENTION = (keras.layers.Attention, keras.layers.AdditiveAttention)
REPLACED = ("dropout", "uniform", "normal")
SEEDED = (
    "beta",
    "binomial",
    "categorical",
    "gamma",
    "randint",
    "shuffle",
    "truncated_normal",
)


def stochastic_layers(model: keras.Layer) -> list[keras.Layer]:
    """The layers of a model that drop at random.

    Keras' Dropout family and its subclasses, recurrent cells and attention with a rate
    over zero; and layers of the user's own that hold a `SeedGenerator` and speak of
    dropping, by the name of their class or of a positive number among their
    attributes. Noise and augmentation are not among them.

    Args:
        model: `keras.Layer`, for instance a model.

    Returns:
        List of layers, in the order in which the model holds them.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._dropout.stochastic_layers import stochastic_layers
    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((3, 2)),
    ...         keras.layers.GaussianNoise(0.1),
    ...         keras.layers.LSTM(4, dropout=0.2),
    ...         keras.layers.Dropout(0.5),
    ...     ]
    ... )
    >>> [type(layer).__name__ for layer in stochastic_layers(model)]
    ['LSTMCell', 'Dropout']
    """
    return [layer for layer in model._flatten_layers() if _is_stochastic(layer)]


def _is_stochastic(layer: keras.Layer) -> bool:
    if isinstance(layer, DROPOUT):
        return layer.rate > 0
    if isinstance(layer, DropoutRNNCell):
        return layer.dropout > 0 or layer.recurrent_dropout > 0
    if isinstance(layer, ATTENTION):
        return layer.dropout > 0
    if type(layer).__module__.startswith("keras.") or not layer._seed_generators:
        return False
    return "drop" in type(layer).__name__.lower() or any(
        "drop" in name.lower() and isinstance(value, int | float) and value > 0
        for name, value in vars(layer).items()
    )


@contextlib.contextmanager
def dropping(
    model: keras.Layer,
    draws: Draws,
    observe: Callable[[Any], None] | None = None,
) -> Iterator[None]:
    """Lets the stochastic layers of a model drop, inside the block.

    Their `call` gets `training=True`, whatever the rest of the model gets, and all
    random functions draw from `draws`.

    Args:
        model: `keras.Layer`.
        draws: `Draws`.
        observe: Called with what every layer returns.
    """
    replacements: list[tuple[Any, str, Callable[..., Any]]] = []
    stochastic = stochastic_layers(model)
    for layer in model._flatten_layers():
        if layer in stochastic:
            replacements.append((layer, "call", _with_training(layer.call, True)))
            if not type(layer).__module__.startswith("keras."):
                for inner in layer._flatten_layers(include_self=False):
                    if inner not in stochastic:
                        still = _with_training(inner.call, False)
                        replacements.append((inner, "call", still))
        elif isinstance(layer, RNN) and layer.cell in stochastic:
            loop = _with_training(layer.inner_loop, True)
            replacements.append((layer, "inner_loop", loop))
    module = random_functions()
    for name in REPLACED:
        replacements.append((module, name, getattr(draws, name)))
    for name in SEEDED:
        replacements.append((module, name, draws.seeded(getattr(module, name))))
    with contextlib.ExitStack() as stack:
        for owner, name, function in replacements:
            stack.enter_context(replaced(owner, name, function))
        if observe is not None:
            for layer in model._flatten_layers():
                watched = _observed(layer.call, observe)
                stack.enter_context(replaced(layer, "call", watched))
        stack.callback(_forget_masks, stochastic)
        yield


def _with_training(call: Callable[..., Any], training: bool) -> Callable[..., Any]:
    if "training" not in inspect.signature(call).parameters:
        return call

    @functools.wraps(call)
    def forced(*args: Any, **kwargs: Any) -> Any:
        kwargs["training"] = training
        return call(*args, **kwargs)

    return forced


def _observed(
    call: Callable[..., Any], observe: Callable[[Any], None]
) -> Callable[..., Any]:
    @functools.wraps(call)
    def watched(*args: Any, **kwargs: Any) -> Any:
        outputs = call(*args, **kwargs)
        observe(outputs)
        return outputs

    return watched


def _forget_masks(layers: list[keras.Layer]) -> None:
    """Lets recurrent cells forget the masks of a pass that was broken off."""
    for layer in layers:
        if isinstance(layer, DropoutRNNCell):
            layer.reset_dropout_mask()
            layer.reset_recurrent_dropout_mask()
