"""Pretrained networks that take pixels: of `keras.applications`, or the user's own."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras

from keras_deeptools._arguments import checked_option, is_integer, message
from keras_deeptools.transfer._backbones.applications import (
    application,
    application_names,
    own_constants,
    preprocessing_of,
    smallest_side,
)
from keras_deeptools.transfer._backbones.classifier import pooling_layer
from keras_deeptools.transfer._backbones.preprocessing import (
    PREPROCESSINGS,
    Preprocessing,
    channel_axis,
    channel_reads,
    repeated_channels,
    transplant,
)

_OWNER = "backbone"
_POOLINGS = ("avg", "max")


def backbone(
    model: str | keras.Model,
    input_shape: tuple[int | None, ...] | None = None,
    weights: str | None = "imagenet",
    pooling: str | None = None,
    *,
    preprocessing: str | Callable[[Any], Any] | None = None,
    **arguments: Any,
) -> keras.Model:
    """A pretrained network without its top: pixels in 0-255 in, features out.

    Each network of `keras.applications` was trained on pixels of its own kind: in
    [-1, 1], standardized, or with red and blue exchanged. That preprocessing is part of
    the returned graph, so images go in as they are stored, in training, prediction and
    export alike. The graph consists of Keras' own layers, so a saved model loads
    without this package. A graph cannot raise an error on every backend; call
    `check_pixels` once to verify that the data are in 0-255.

    Images with another number of channels than three can use the pretrained weights
    too. The first kernel is repeated over the channels, red, green, blue, red, and so
    on, and each slice is divided by the number of channels that share it. The sum over
    the channels stays the same, so a gray image gives the features that it gave in
    three channels. If the preprocessing differs between red, green and blue, one or two
    channels are first repeated three times, so that they pass through it as well; if it
    is the same for all three, the kernel is instead the mean over its channels, times
    3 / channels.

    Args:
        model: Str, the name of a constructor of `keras.applications`, such as
            `"MobileNetV2"`; or a `keras.Model` of one input and one output, such as a
            network of your own or a `keras_hub` backbone of images. Its layers are
            shared, not copied, unless its channels change.
        input_shape: Tuple `(height, width, channels)`, or with the channels first if
            Keras is configured so. Heights and widths must be at least 32 (Inception
            75, Xception 71). None for a `keras.Model`: its own shape.
        weights: `"imagenet"`, None for randomly initialized weights, or the path of a
            weights file for three channels; if the file holds a normalization
            (EfficientNet), that normalization is kept. Ignored for a `keras.Model`,
            which has its own weights.
        pooling: None for a map of features; `"avg"` or `"max"` over the positions, or
            over the tokens of a transformer, for a vector.
        preprocessing: What a `keras.Model` expects: `"symmetric"` for pixels in
            [-1, 1], `"standardize"` for pixels standardized with ImageNet's mean and
            standard deviation, `"bgr"` for blue, green, red with ImageNet's mean
            subtracted, `"included"` for pixels in 0-255, or a layer or function that
            computes the expected input from those. Must be None for a name.
        **arguments: Further arguments of the constructor, such as `alpha=0.35`.

    Returns:
        `keras.Model`, functional, with one input of float32 pixels (arrays of integers
        are cast). Named applications are not nested in it, so `get_layer` finds their
        layers.

    Raises:
        ValueError: If a name is unknown, images are too small, preprocessing is missing
            or must not be given, or the model cannot take as many channels.
        TypeError: If an argument is of the wrong type.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.transfer import backbone
    >>> conv = keras.layers.Conv2D(1, 1, kernel_initializer="ones")
    >>> mine = keras.Sequential([keras.Input((8, 8, 3)), conv])
    >>> features = backbone(mine, pooling="avg", preprocessing="symmetric")
    >>> white = np.full((1, 8, 8, 3), 255, "uint8")
    >>> features.predict(white, verbose=0).round().tolist()
    [[3.0]]
    >>> gray = backbone(mine, (8, 8, 1), pooling="avg", preprocessing="symmetric")
    >>> gray.predict(white[..., :1], verbose=0).round().tolist()
    [[3.0]]
    """
    if pooling is not None:
        checked_option(_OWNER, "pooling", pooling, _POOLINGS)
    if isinstance(model, keras.Model):
        if arguments:
            unknown = sorted(arguments)
            raise TypeError(
                f"{_OWNER}: a `keras.Model` takes no arguments of a constructor. "
                f"Received: {unknown}. Leave them out."
            )
        return model_on_pixels(model, input_shape, pooling, preprocessing)
    checked_option(_OWNER, "model", model, application_names())
    if preprocessing is not None:
        remedy = "What its networks take is known; leave it out."
        rule = "None for a network of `keras.applications`"
        raise ValueError(message(_OWNER, "preprocessing", rule, preprocessing, remedy))
    if isinstance(weights, str) and weights != "imagenet":
        if not Path(weights).exists():
            rule = "'imagenet', None, or the path of a file that exists"
            raise ValueError(message(_OWNER, "weights", rule, weights))
    shape = _checked_shape(model, input_shape)
    return _build(model, shape, weights, pooling=pooling, **arguments)


def _build(
    name: str,
    shape: tuple[int | None, ...],
    weights: str | None,
    **arguments: Any,
) -> keras.Model:
    """A network of `keras.applications` on pixels."""
    prepare = preprocessing_of(name)
    axis = channel_axis(4) - 1
    num_channels = shape[axis]
    assert num_channels is not None
    pixels = keras.Input(shape, name="pixels")
    if num_channels == 3 or weights is None:
        reads = channel_reads(num_channels, prepare.kernel_order)
        inputs = prepare.apply(pixels, reads)
        built = application(name, inputs, reads, weights=weights, **arguments)
        return keras.Model(pixels, built.output, name=built.name)
    three = (*shape[:axis], 3, *shape[axis + 1 :])
    source = _build(name, three, weights, **arguments)
    channels = pixels if prepare.alike else repeated_channels(pixels)
    reads = channel_reads(channels.shape[axis + 1], prepare.kernel_order)
    constants = own_constants(source)
    if constants is not None:
        constants = constants.of_channels(reads)
    inputs = prepare.apply(channels, reads)
    built = application(name, inputs, reads, constants, weights=None, **arguments)
    transplant(source, built, reads, own_normalization=True)
    return keras.Model(pixels, built.output, name=built.name)


def _checked_shape(
    name: str, input_shape: tuple[int | None, ...] | None
) -> tuple[int | None, ...]:
    """The shape of the images, checked against what the network takes."""
    shape = checked_image_shape(input_shape)
    axis = channel_axis(4) - 1
    sides = [side for i, side in enumerate(shape) if i != axis and side is not None]
    least = smallest_side(name)
    if any(side < least for side in sides):
        rule = f"of images of at least {least} x {least} for {name}"
        remedy = "Resize the images, for instance with `keras.layers.Resizing`."
        raise ValueError(message(_OWNER, "input_shape", rule, shape, remedy))
    return shape


def checked_image_shape(input_shape: Any) -> tuple[int | None, ...]:
    """Return the shape of an image without its batch, or raise.

    Args:
        input_shape: Three ints, or None for a height or width that varies.

    Example:

    >>> from keras_deeptools.transfer._backbones.backbone import checked_image_shape
    >>> checked_image_shape([32, None, 3])
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
    >>> from keras_deeptools.transfer._backbones.backbone import model_on_pixels
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
