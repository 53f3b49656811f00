"""Weights that Keras downloads, put in place of the download."""

import importlib

import h5py
import keras
import numpy as np
import pytest

from keras_deeptools.transfer import backbone
from keras_deeptools.transfer._backbones.preprocessing import MEAN, STD

legacy = importlib.import_module("keras.src.legacy.saving.legacy_h5_format")

GRAY = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 1)).astype("float32")
NAMES = ["ConvNeXtTiny", "EfficientNetB0", "EfficientNetV2B0", "MobileNetV3Small"]


def published(name: str) -> keras.Model:
    """The application with other weights than it starts with, in place of ImageNet's.

    Of EfficientNet Keras' file holds the standard deviations where the layer has
    variances, which a `Rescaling` that is there with "imagenet" alone makes up for.
    """
    model = getattr(keras.applications, name)(
        weights=None, include_top=False, input_shape=(32, 32, 3)
    )
    rng = np.random.default_rng(1)
    model.set_weights([rng.uniform(0.1, 0.3, w.shape) for w in model.weights])
    if name.startswith("EfficientNetB"):
        normalization = model.get_layer(index=2)
        normalization.set_weights([np.array(MEAN), np.array(STD), np.array(0)])
    return model


def stem(model: keras.Model) -> keras.Model:
    """Up to the first convolution, where the channels come together."""
    kinds = (keras.layers.Conv2D, keras.Sequential)
    first = next(layer for layer in model.layers if isinstance(layer, kinds))
    return keras.Model(model.input, first.output)


def features(model: keras.Model) -> np.ndarray:
    pixels = np.repeat(GRAY, model.input_shape[-1], axis=-1)
    return keras.ops.convert_to_numpy(stem(model)(pixels))


# MobileNetV3 warns of image sizes other than 224, although it takes any.
@pytest.mark.filterwarnings("ignore:`input_shape` is undefined or non-square")
@pytest.mark.slow
@pytest.mark.parametrize("name", [*NAMES, "ResNet50"])
def test_imagenets_weights_serve_images_of_any_number_of_channels(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = published(name)
    with h5py.File("published.h5", "w") as file:
        legacy.save_weights_to_hdf5_group(file, source)
    construct = getattr(keras.applications, name)
    module = importlib.import_module(construct.__module__)
    monkeypatch.setattr(module.file_utils, "get_file", lambda *_, **__: "published.h5")
    three = backbone(name, (32, 32, 3))
    expected = features(three)
    for theirs, ours in zip(source.weights, three.weights, strict=True):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(ours), keras.ops.convert_to_numpy(theirs)
        )
    assert np.ptp(expected) > 0.1
    for num_channels in (1, 4):
        other = backbone(name, (32, 32, num_channels))
        got = features(other)
        if num_channels > 3:
            atol = 1e-5 * np.abs(expected).max()
            np.testing.assert_allclose(got, expected, rtol=1e-4, atol=atol)
        # The constants of red, green and blue are averaged for one channel.
        assert np.corrcoef(got.ravel(), expected.ravel())[0, 1] > 0.98
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(other.weights[-1]),
            keras.ops.convert_to_numpy(three.weights[-1]),
        )
