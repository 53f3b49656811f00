"""The networks of `keras.applications`: what each takes and how to build it."""

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import keras

from keras_deeptools.transfer._backbones.own_normalization import (
    ChannelConstants,
    fill_constants,
    published_with_rescaling,
    rescaled_constants,
)
from keras_deeptools.transfer._backbones.preprocessing import MEAN, STD, Preprocessing

_SYMMETRIC = Preprocessing("symmetric")
_STANDARDIZE = Preprocessing("standardize")
_BGR = Preprocessing("bgr")

# By the module of the constructor. EfficientNet's own layers cannot be left out.
_FAMILIES = {
    "convnext": _STANDARDIZE,
    "densenet": _STANDARDIZE,
    "efficientnet": Preprocessing("included"),
    "efficientnet_v2": _STANDARDIZE,
    "inception_resnet_v2": _SYMMETRIC,
    "inception_v3": _SYMMETRIC,
    "mobilenet": _SYMMETRIC,
    "mobilenet_v2": _SYMMETRIC,
    "mobilenet_v3": _SYMMETRIC,
    "nasnet": _SYMMETRIC,
    "resnet": _BGR,
    "resnet_v2": _SYMMETRIC,
    "vgg16": _BGR,
    "vgg19": _BGR,
    "xception": _SYMMETRIC,
}
_LARGE_EFFICIENT_NETS = ("EfficientNetV2S", "EfficientNetV2M", "EfficientNetV2L")
_SMALLEST = {"inception_resnet_v2": 75, "inception_v3": 75, "xception": 71}


def application_names() -> list[str]:
    """The constructors of `keras.applications`, sorted.

    Returns:
        List of str.

    Example:

    >>> from keras_deeptools.transfer._backbones.applications import application_names
    >>> [name for name in application_names() if name.startswith("VGG")]
    ['VGG16', 'VGG19']
    """
    members = vars(keras.applications).items()
    return sorted(name for name, member in members if inspect.isfunction(member))


def preprocessing_of(name: str) -> Preprocessing:
    """What stands between pixels in 0-255 and an application built by `application`.

    Args:
        name: Str, one of `application_names()`.

    Example:

    >>> from keras_deeptools.transfer._backbones.applications import preprocessing_of
    >>> preprocessing_of("VGG16").mode, preprocessing_of("EfficientNetV2S").center
    ('bgr', 128.0)
    """
    if name in _LARGE_EFFICIENT_NETS:
        return Preprocessing("symmetric", center=128.0)
    return _FAMILIES[_family(name)]


def smallest_side(name: str) -> int:
    """The smallest height and width of images that an application takes.

    Args:
        name: Str, one of `application_names()`.

    Example:

    >>> from keras_deeptools.transfer._backbones.applications import smallest_side
    >>> smallest_side("Xception"), smallest_side("ResNet50")
    (71, 32)
    """
    return _SMALLEST.get(_family(name), 32)


def application(
    name: str,
    inputs: Any,
    reads: list[tuple[int, ...]],
    constants: ChannelConstants | None = None,
    **arguments: Any,
) -> keras.Model:
    """An application without its top and without what preprocessing it may hold.

    EfficientNet keeps its preprocessing. Keras leaves its constants at 0 and 1 without
    weights, and leaves a part of it out for weights from a file: both are put right.

    Args:
        name: Str, one of `application_names()`.
        inputs: `keras.KerasTensor`, what it is built on.
        reads: For each channel the channels of a three-channel kernel that it feeds.
        constants: Of EfficientNet's own preprocessing; None for what belongs to its
            weights.
        **arguments: What else the constructor takes.
    """
    construct = _constructor(name)
    if "include_preprocessing" in inspect.signature(construct).parameters:
        arguments["include_preprocessing"] = False
    with warnings.catch_warnings():
        # Channels other than 1 and 3 are what `backbone` is asked for.
        warnings.filterwarnings("ignore", message="This model usually expects 1 or 3")
        model = construct(
            include_top=False,
            input_tensor=inputs,
            input_shape=tuple(inputs.shape[1:]),
            **arguments,
        )
    weights = arguments["weights"]
    if constants is None and weights is None:
        constants = ChannelConstants(MEAN, STD).of_channels(reads)
    if constants is None and published_with_rescaling(model, weights):
        constants = rescaled_constants(model)
    if constants is not None:
        fill_constants(model, constants)
    return model


def _constructor(name: str) -> Callable[..., keras.Model]:
    return getattr(keras.applications, name)


def _family(name: str) -> str:
    return _constructor(name).__module__.rpartition(".")[2]
