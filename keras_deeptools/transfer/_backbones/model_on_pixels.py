"""A network of the user's own that takes pixels."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_deeptools._arguments import is_integer, message
from keras_deeptools.transfer._backbones.classifier import pooling_layer
from keras_deeptools.transfer._backbones.preprocessing import (
    PREPROCESSINGS,
    Preprocessing,
    channel_axis,
    channel_reads,
    repeated_channels,
    transplant,
)


def checked_image_shape(input_shape: Any) -> tuple[int | None, ...]:
    """Return the shape of an image without its batch, or raise.

    Args:
        input_shape: Three ints, or None for a height or width that varies.

    Example:

    >>> from keras_deeptools.transfer._backbones import model_on_pixels
    >>> model_on_pixels.checked_image_shape([32, None, 3])
    (32, None, 3)
    """
    rule = "three integers >= 1, such as (224, 224, 3); height and width may be None"
    wrong = message("backbone", "input_shape", rule, input_shape)
    if not isinstance(input_shape, (tuple, list)):
        raise TypeError(wrong)
    if len(input_shape) != 3 or input_shape[channel_axis(4) - 1] is None:
        raise ValueError(wrong)
    for side in input_shape:
        if side is not None and not is_integer(side):
            raise TypeError(wrong)
        if side is not None and side < 1:
            raise ValueError(wrong)
    return tuple(input_shape)


_OWNER = "backbone"


def model_on_pixels(
    model: keras.Model,
    input_shape: tuple[int | None, ...] | None,
    pooling: str | None,
    preprocessing: str | Callable[[Any], Any] | None,
) -> keras.Model:
    """A model behind its preprocessing, with pooling on request.

    Args:
        model: `keras.Model` of one input and one output.
        input_shape: Tuple or None, see `backbone`.
        pooling: None, `"avg"` or `"max"`.
        preprocessing: Str, or a function from a symbolic tensor to another.

    Example:

    >>> import keras
    >>> from keras_deeptools.transfer._backbones.model_on_pixels import model_on_pixels
    >>> mine = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 3)])
    >>> model_on_pixels(mine, None, "max", "included").output_shape
    (None, 2)
    """
    own = _own_shape(model, input_shape)
    shape = checked_image_shape(own if input_shape is None else input_shape)
    prepare = _checked_preprocessing(preprocessing)
    axis = channel_axis(4)
    named = isinstance(prepare, Preprocessing)
    pixels = keras.Input(shape, name="pixels")
    channels = pixels
    if named and not prepare.alike and own is not None and own[axis - 1] == 3:
        channels = repeated_channels(pixels)
    order = prepare.kernel_order if named else (0, 1, 2)
    reads = channel_reads(channels.shape[axis], order)
    inputs = prepare.apply(channels, reads) if named else prepare(pixels)
    if own is not None and own[axis - 1] not in (None, inputs.shape[axis]):
        model = _for_channels(model, tuple(inputs.shape[1:]), reads)
    outputs = model(inputs)
    if not isinstance(outputs, keras.KerasTensor):
        raise ValueError(message(_OWNER, "model", "a model of one output", model))
    if pooling is not None:
        outputs = _pooled(outputs, pooling)
    return keras.Model(pixels, outputs, name=f"{model.name}_on_pixels")


def _own_shape(model: keras.Model, input_shape: Any) -> tuple[int | None, ...] | None:
    """What the model was built for, None where only a call would tell."""
    inputs = getattr(model, "inputs", None) or []
    if len(inputs) == 1:
        return tuple(inputs[0].shape[1:])
    if inputs:
        raise ValueError(message(_OWNER, "model", "a model of one input", model))
    if input_shape is None:
        rule = "given for a model without a graph"
        raise ValueError(message(_OWNER, "input_shape", rule, input_shape))
    return None


def _checked_preprocessing(preprocessing: Any) -> Any:
    """A `Preprocessing`, or the user's own function."""
    if callable(preprocessing):
        return preprocessing
    if preprocessing not in PREPROCESSINGS:
        names = ", ".join(map(repr, PREPROCESSINGS))
        rule = f"one of {names}, or a layer or function, for a `keras.Model`"
        remedy = "What it was trained on cannot be read from its weights."
        error = ValueError if isinstance(preprocessing, str | None) else TypeError
        raise error(message(_OWNER, "preprocessing", rule, preprocessing, remedy))
    return Preprocessing(preprocessing)


def _for_channels(
    model: keras.Model, shape: tuple[int | None, ...], reads: Sequence[Sequence[int]]
) -> keras.Model:
    """A copy of the model whose first kernel reads other channels."""
    try:
        copy = keras.models.clone_model(model, input_tensors=keras.Input(shape))
    except (TypeError, ValueError) as error:
        rule = "of as many channels as the model takes, unless it can be cloned"
        remedy = "Turn the images into ones of those channels."
        wrong = message(_OWNER, "input_shape", rule, shape, remedy)
        raise ValueError(wrong) from error
    transplant(model, copy, reads)
    return copy


def _pooled(features: Any, pooling: str) -> Any:
    """The mean or the maximum over a map, or over the tokens of a transformer."""
    rank = len(features.shape)
    if rank not in (3, 4):
        rule = "None for a model whose output is no map of features and no sequence"
        raise ValueError(message(_OWNER, "pooling", rule, pooling))
    return pooling_layer(pooling, rank, name="pooling")(features)
