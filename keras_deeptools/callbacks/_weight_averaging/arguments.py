"""Checks of the arguments of `WeightAveraging`."""

import math
import warnings
from typing import Any

import keras

from keras_deeptools._arguments import checked_count, checked_float, is_integer, message
from keras_deeptools.engine._graph.layers import layers_of
from keras_deeptools.engine._update.attachment import attached_features


def checked_decay(owner: str, value: Any) -> float | None:
    """None, or a float in [0, 1)."""
    if value is None:
        return None
    remedy = "Give 0.99 to 0.9999, or None for the mean of all weights."
    rule = "in [0, 1) or None"
    return checked_float(
        owner, "decay", value, at_least=0, below=1, rule=rule, remedy=remedy
    )


def checked_start(owner: str, value: Any) -> int | float:
    """An int >= 0, or a float in [0, 1)."""
    rule = "an epoch, an int >= 0, or a part of all epochs, a float in [0, 1)"
    if is_integer(value):
        return checked_count(owner, "start", value, 0, rule=rule)
    return checked_float(owner, "start", value, at_least=0, below=1, rule=rule)


def checked_warmup(owner: str, value: Any) -> float | None:
    """None, or a float >= 0."""
    if value is None:
        return None
    return checked_float(owner, "warmup", value, at_least=0)


def first_epoch(owner: str, start: int | float, params: dict[str, Any] | None) -> int:
    """The epoch from which on updates count.

    Args:
        owner: Str. Who is named in errors.
        start: As in `WeightAveraging`.
        params: What Keras tells callbacks; None or empty where a `CallbackList` was
            made without.

    Raises:
        ValueError: If `start` is a part of a number of epochs that nobody told.
    """
    if isinstance(start, int) or start == 0:
        return int(start)
    epochs = (params or {}).get("epochs")
    if epochs is None:
        rule = "an epoch, an int >= 0, where the number of epochs is not known"
        remedy = (
            "Give an int, or tell the list of callbacks: "
            "`keras.callbacks.CallbackList(callbacks, model=model, epochs=...)`."
        )
        raise ValueError(message(owner, "start", rule, start, remedy))
    return math.ceil(start * epochs)


def check_alone(owner: str, averaging: Any, model: keras.Model) -> None:
    """Raises if two averages would take the place of the same weights."""
    for other in attached_features(model):
        if not isinstance(other, type(averaging)):
            continue
        for name in ("validated", "kept"):
            if getattr(averaging, name) and getattr(other, name):
                raise ValueError(
                    f"{owner}: `{name}` can be True for one average in a `fit`. "
                    f"Received: {name}=True twice. Give {name}=False to one of them, "
                    "and read it with `shown()`; for several optimizers of a model, "
                    'give one average `optimizer=["g_optimizer", "d_optimizer"]`.'
                )


def warn_of_statistics(owner: str, model: keras.Model) -> None:
    """Warns where batch normalization would have statistics of other weights."""
    # Asked of the layers alone, because the model may not be built yet.
    layers = [layer for layer, _ in layers_of(model)]
    if any(
        isinstance(x, keras.layers.BatchNormalization) and x.trainable for x in layers
    ):
        warnings.warn(
            f"{owner}: the mean of weights needs statistics of its own in "
            "BatchNormalization layers. Received: batch_norm_data=None. Give inputs, "
            "or call `layers.update_batch_norm(model, x)` after `fit`.",
            stacklevel=4,
        )
