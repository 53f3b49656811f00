"""The preprocessing that EfficientNet keeps among its layers and weights.

Its layers are `Rescaling(1 / 255)`, a `Normalization` whose constants are weights, and,
with `weights="imagenet"` alone, one more `Rescaling` by the root of the standard
deviation: the file that Keras publishes has standard deviations where the layer has
variances. Both together take out one mean of each channel and divide by one number.
"""

import importlib
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_deeptools.transfer._backbones.preprocessing import STD, of_channels

_RESCALING = re.compile(r"rescaling(_\d+)?")


@dataclass(frozen=True)
class ChannelConstants:
    """What is taken out of channels in 0-1, and what they are divided by.

    Attributes:
        mean: Floats, one for each channel.
        std: Floats, one for each channel.

    Example:

    >>> from keras_deeptools.transfer._backbones import own_normalization
    >>> constants = own_normalization.ChannelConstants((0.1, 0.2, 0.3), (1.0, 2.0, 3.0))
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
