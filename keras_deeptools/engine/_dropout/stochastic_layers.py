"""The layers with dropout: switched on at inference, or with another dropout rate."""

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator
from numbers import Real
from typing import Any

import keras

from keras_deeptools.engine._backends.common import on_host
from keras_deeptools.engine._dropout.mask_sampling import Draws, drawing_from
from keras_deeptools.engine._keras_private.layers import (
    ATTENTION_DROPOUT,
    flat_layers,
    held_generators,
)
from keras_deeptools.engine._keras_private.random import DRAWING, is_dropping_cell
from keras_deeptools.engine._keras_private.saving import trusting
from keras_deeptools.engine._passes.compiled_with import compile_arguments
from keras_deeptools.engine._patching import replaced_in_thread
from keras_deeptools.engine._state.adapted_state import copy_adapted_state

DROPOUT = (
    keras.layers.Dropout,
    keras.layers.AlphaDropout,
    keras.layers.GaussianDropout,
)
ATTENTION = (keras.layers.Attention, keras.layers.AdditiveAttention)

DEPTH = "stochasticdepth"
"""In the names of classes, in small letters, that leave out whole branches."""

RATES = ("rate", "dropout", "recurrent_dropout")
# What decides whether their inner Dropout layer is called at all.
SWITCHES = {
    keras.layers.MultiHeadAttention: ATTENTION_DROPOUT,
    keras.layers.GroupQueryAttention: "dropout",
}


def stochastic_layers(model: keras.Layer) -> list[keras.Layer]:
    """The layers of a model that drop at random.

    These are Keras' Dropout family and its subclasses, recurrent cells and attention
    with a dropout rate over zero, and other layers that hold a `SeedGenerator` and
    mention dropping or stochastic depth in the name of their class, or dropping in
    that of a positive number among their attributes; none with a `rate` of zero. Noise
    and augmentation are not among them.

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
    # Custom layers, and those that a future version of Keras may have.
    if not held_generators(layer) or getattr(layer, "rate", None) == 0:
        return False
    if "drop" in type(layer).__name__.lower() or _skips(layer):
        return True
    return any(
        "drop" in name.lower() and isinstance(value, int | float) and value > 0
        for name, value in vars(layer).items()
    )


def _skips(layer: keras.Layer) -> bool:
    """Whether the layer leaves out branches: the class of anyone who names it so."""
    return DEPTH in type(layer).__name__.lower()


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
    """Lets recurrent cells forget the masks of a pass that was interrupted."""
    for layer in layers:
        if is_dropping_cell(layer):
            layer.reset_dropout_mask()
            layer.reset_recurrent_dropout_mask()


def with_dropout_rate(model: keras.Model, rate: float) -> keras.Model:
    """A copy of a model, as trained and as compiled, whose layers drop at `rate`.

    Layers with a dropout rate of zero keep it, and so does stochastic depth. The
    original is not changed.

    Args:
        model: `keras.Model`, built.
        rate: Float in [0, 1).

    Raises:
        ValueError: If the model cannot be copied, has no dropout, or holds a stochastic
            layer without an attribute for its dropout rate.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._dropout.stochastic_layers import with_dropout_rate
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dropout(0.5)])
    >>> with_dropout_rate(model, 0.1).layers[0].rate, model.layers[0].rate
    (0.1, 0.5)
    """
    layers = [layer for layer in stochastic_layers(model) if not _skips(layer)]
    if not layers:
        raise ValueError(
            "with_dropout_rate: `model` must have a layer that drops. Received: "
            f"model={model.name!r}, without any. Build it with rates over 0."
        )
    for layer in layers:
        if not _rates_of(layer):
            raise ValueError(
                "with_dropout_rate: `model` must keep its rates in attributes named "
                f"{', '.join(RATES)}. Received: layer {layer.name!r} of type "
                f"{type(layer).__name__}. Give a function that builds the model."
            )
    copied = _copied(model)
    set_dropout_rate(copied, rate)
    if model.compiled:
        _compile_as(copied, model)
    return copied


def has_dropout_rate(model: keras.Model) -> bool:
    """Whether a model, built or not, has a dropout rate that `set_dropout_rate` sets.

    Args:
        model: `keras.Model`.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._dropout.stochastic_layers import has_dropout_rate
    >>> has_dropout_rate(keras.Sequential([keras.layers.Dropout(0.5)]))
    True
    """
    return bool(_rate_attributes(model))


def set_dropout_rate(model: keras.Model, rate: float) -> None:
    """Sets the dropout rate of a model's layers, in a model that has not run yet.

    Layers with a dropout rate of zero, or without an attribute for it, keep theirs.

    Args:
        model: `keras.Model`, built or not.
        rate: Float in [0, 1).

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._dropout.stochastic_layers import set_dropout_rate
    >>> model = keras.Sequential([keras.layers.Dense(2), keras.layers.Dropout(0.5)])
    >>> set_dropout_rate(model, 0.1)
    >>> model.layers[1].rate
    0.1
    """
    for layer, name in _rate_attributes(model):
        setattr(layer, name, rate)


def _rate_attributes(model: keras.Model) -> list[tuple[keras.Layer, str]]:
    """Layers that drop, and the name of the attribute that says how much."""
    found = [
        (layer, name) for layer in stochastic_layers(model) for name in _rates_of(layer)
    ]
    for layer in flat_layers(model):
        for kind, name in SWITCHES.items():
            if isinstance(layer, kind) and getattr(layer, name) > 0:
                found.append((layer, name))
    return found


def _rates_of(layer: keras.Layer) -> list[str]:
    """Names of the attributes that hold a dropout rate over 0.

    Those of stochastic depth differ from layer to layer, and are none of these.
    """
    if _skips(layer):
        return []
    values = {name: getattr(layer, name, None) for name in RATES}
    return [
        name for name, it in values.items() if isinstance(it, Real) and float(it) > 0
    ]


def _copied(model: keras.Model) -> Any:
    """An uncompiled copy with its own weights."""
    try:
        with trusting():
            copied = type(model).from_config(model.get_config())
        if not copied.built and model.built:
            copied.build_from_config(model.get_build_config())
        for theirs, ours in zip(copied.weights, model.weights, strict=True):
            theirs.assign(on_host(ours))
        copy_adapted_state(model, copied)
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(
            "with_dropout_rate: `model` must be copied by its config. Received: "
            f"model={model.name!r}, where that failed: {reason} Write `get_config` and "
            "register its classes with `keras.saving.register_keras_serializable`, or "
            "give a function that builds the model."
        ) from error
    return copied


def _compile_as(copied: keras.Model, model: keras.Model) -> None:
    """Compiles a copy with what the model was compiled with, and no shared state."""
    config = keras.optimizers.serialize(model.optimizer)
    optimizer = keras.optimizers.deserialize(config)
    copied.compile(optimizer, **compile_arguments(model))
    if model.optimizer.built:
        copied.optimizer.build(copied.trainable_variables)
        pairs = zip(copied.optimizer.variables, model.optimizer.variables, strict=True)
        for theirs, ours in pairs:
            theirs.assign(on_host(ours))
