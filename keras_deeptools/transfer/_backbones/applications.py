"""The networks of `keras.applications`: what each takes and how to build it.

EfficientNet keeps its preprocessing among its layers and weights: `Rescaling(1 / 255)`,
a `Normalization` whose constants are weights, and, with `weights="imagenet"` alone, one
more `Rescaling` by the root of the standard deviation: the file that Keras publishes
has standard deviations where the layer has variances. Both together take out one mean
of each channel and divide by one number.
"""

import importlib
import inspect
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_deeptools.transfer._backbones.preprocessing import (
    MEAN,
    STD,
    Preprocessing,
    of_channels,
)

_RESCALING = re.compile(r"rescaling(_\d+)?")

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


@dataclass(frozen=True)
class ChannelConstants:
    """What is taken out of channels in 0-1, and what they are divided by.

    Attributes:
        mean: Floats, one for each channel.
        std: Floats, one for each channel.

    Example:

    >>> from keras_deeptools.transfer._backbones.applications import ChannelConstants
    >>> constants = ChannelConstants((0.1, 0.2, 0.3), (1.0, 2.0, 3.0))
    >>> constants.of_channels([(0,), (1,), (2,), (0,)]).std
    (1.0, 2.0, 3.0, 1.0)
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def of_channels(self, reads: Sequence[Sequence[int]]) -> "ChannelConstants":
        """For other channels, each with the mean of those whose kernel it feeds."""
        return ChannelConstants(
            tuple(of_channels(self.mean, reads)), tuple(of_channels(self.std, reads))
        )


def own_constants(model: keras.Model) -> ChannelConstants | None:
    """The constants of an application's own normalization, or None without one.

    Args:
        model: `keras.Model` for images of three channels.
    """
    layer = _normalization(model)
    if layer is None:
        return None
    return _constants(layer, _scales_after(model))


def rescaled_constants(model: keras.Model) -> ChannelConstants:
    """The constants with the `Rescaling` that a model from a file lacks."""
    layer = _normalization(model)
    assert layer is not None
    return _constants(layer, [value**-0.5 for value in STD])


def fill_constants(model: keras.Model, constants: ChannelConstants) -> None:
    """Puts constants in the place of those of a normalization, where there is one."""
    layer = _normalization(model)
    if layer is not None:
        layer.adapt_mean.assign(constants.mean)
        layer.adapt_variance.assign([value**2 for value in constants.std])
        layer.finalize_state()


def published_with_rescaling(model: keras.Model, weights: Any) -> bool:
    """Whether a model from a file lacks the second `Rescaling` that its weights need.

    The file is of a model with two of them, or its variances are ImageNet's standard
    deviations, as in the files that Keras publishes.

    Args:
        model: `keras.Model` that has the weights.
        weights: What it was built with: None, `"imagenet"`, or the path of the file.
    """
    layer = _normalization(model)
    if layer is None or weights is None or weights == "imagenet":
        return False
    variance = keras.ops.convert_to_numpy(layer.adapt_variance)
    if np.allclose(variance.ravel(), STD, rtol=1e-2):
        return True
    return len({name for name in _names(weights) if _RESCALING.fullmatch(name)}) > 1


def _constants(layer: Any, scales: Sequence[float]) -> ChannelConstants:
    mean = keras.ops.convert_to_numpy(layer.adapt_mean).ravel()
    variance = keras.ops.convert_to_numpy(layer.adapt_variance).ravel()
    std = np.sqrt(variance.astype("float64")) / np.asarray(scales, "float64")
    return ChannelConstants(tuple(mean.tolist()), tuple(std.tolist()))


def _normalization(model: keras.Model) -> keras.layers.Normalization | None:
    """The layer whose constants are weights."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization) and layer.weights:
            return layer
    return None


def _scales_after(model: keras.Model) -> Sequence[float]:
    """The factors of the `Rescaling` of each channel by one of its own."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.Rescaling) and np.ndim(layer.scale):
            return np.ravel(layer.scale).tolist()
    return (1.0, 1.0, 1.0)


def _names(path: Any) -> Iterator[str]:
    """The names of layers and weights in a file of Keras, none in other files."""
    path = Path(path)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if "model.weights.h5" in archive.namelist():
                with archive.open("model.weights.h5") as file:
                    yield from _names_in(file)
    elif importlib.import_module("h5py").is_hdf5(path):
        yield from _names_in(path)


def _names_in(file: Any) -> Iterator[str]:
    found: list[str] = []
    with importlib.import_module("h5py").File(file, "r") as opened:
        opened.visit(lambda name: found.append(name.rpartition("/")[2]))
    yield from found


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
