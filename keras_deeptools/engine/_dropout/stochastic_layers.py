"""Dropout on, everything else in inference."""

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import keras

from keras_deeptools.engine._dropout.mask_sampling import Draws, drawing_from
from keras_deeptools.engine._keras_private.layers import flat_layers, held_generators
from keras_deeptools.engine._keras_private.random import DRAWING, is_dropping_cell
from keras_deeptools.engine._patching import replaced_in_thread

DROPOUT = (
    keras.layers.Dropout,
    keras.layers.AlphaDropout,
    keras.layers.GaussianDropout,
)
ATTENTION = (keras.layers.Attention, keras.layers.AdditiveAttention)


def stochastic_layers(model: keras.Layer) -> list[keras.Layer]:
    """The layers of a model that drop at random.

    Keras' Dropout family and its subclasses, recurrent cells and attention with a rate
    over zero; and other layers that hold a `SeedGenerator` and speak of dropping, by
    the name of their class or of a positive number among their attributes. Noise and
    augmentation are not among them.

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
    return [layer for layer in flat_layers(model) if _is_stochastic(layer)]


def _is_stochastic(layer: keras.Layer) -> bool:
    if isinstance(layer, DROPOUT):
        return layer.rate > 0
    if is_dropping_cell(layer):
        return layer.dropout > 0 or layer.recurrent_dropout > 0
    if isinstance(layer, ATTENTION):
        return layer.dropout > 0
    # Layers of the user's own, and those that a Keras to come may have.
    if not held_generators(layer):
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
    random functions draw from `draws`: for the running thread. Others see nothing.

    Args:
        model: `keras.Layer`.
        draws: `Draws`.
        observe: Called with what every layer returns.
    """
    stochastic = stochastic_layers(model)
    dropping_too = functools.partial(_with_training, training=True)
    with contextlib.ExitStack() as stack:

        def replace(layer: Any, name: str, make: Callable) -> None:
            stack.enter_context(replaced_in_thread(layer, name, make))

        for layer in flat_layers(model):
            if layer in stochastic:
                replace(layer, "call", dropping_too)
                if not type(layer).__module__.startswith("keras."):
                    for inner in flat_layers(layer, include_self=False):
                        if inner not in stochastic:
                            still = functools.partial(_with_training, training=False)
                            replace(inner, "call", still)
            elif isinstance(layer, keras.layers.RNN) and layer.cell in stochastic:
                replace(layer, "inner_loop", dropping_too)
        for name in DRAWING:
            own = getattr(draws, name, None)
            make = draws.seeded if own is None else lambda _, own=own: own
            stack.enter_context(drawing_from(name, make))
        if observe is not None:
            for layer in flat_layers(model):
                replace(layer, "call", functools.partial(_observed, observe=observe))
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
        if is_dropping_cell(layer):
            layer.reset_dropout_mask()
            layer.reset_recurrent_dropout_mask()
