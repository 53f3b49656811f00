"""Gray images give the features of three equal channels, with all weights."""

import importlib
from collections.abc import Callable

import h5py
import keras
import numpy as np
import pytest

from keras_deeptools.transfer import backbone, reuse_layers
from keras_deeptools.transfer._backbones.applications import application_names
from keras_deeptools.transfer._backbones.preprocessing import MEAN, STD
from keras_deeptools.tuning._transfer.pooled_features import copied

legacy = importlib.import_module("keras.src.legacy.saving.legacy_h5_format")

GRAY = np.random.default_rng(0).integers(0, 256, (2, 96, 96, 1)).astype("float32")
FILE = "stand_in.h5"
# Files and their layers are read alike on all backends; what is computed of gray pixels
# is tried on each with small networks below.
once = pytest.mark.one_backend


def side(name: str) -> int:
    return 80 if "Inception" in name or name == "Xception" else 32


def stand_in(name: str, variance: tuple[float, ...] = STD) -> keras.Model:
    """The application with other weights than it starts with.

    Of EfficientNet the file of ImageNet's weights has standard deviations where the
    layer has variances.
    """
    model = getattr(keras.applications, name)(
        weights=None, include_top=False, input_shape=(side(name), side(name), 3)
    )
    draw = np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization) and layer.weights:
            layer.set_weights([np.array(MEAN), np.array(variance), np.array(0)])
            layer.finalize_state()
        elif layer.weights:
            layer.set_weights([draw.uniform(-0.1, 0.3, w.shape) for w in layer.weights])
    return model


def downloads(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets Keras find the weights of a stand-in where it would download ImageNet's."""
    with h5py.File(FILE, "w") as file:
        legacy.save_weights_to_hdf5_group(file, stand_in(name))
    files = importlib.import_module("keras.src.utils.file_utils")
    monkeypatch.setattr(files, "get_file", lambda *_, **__: FILE)


def first_features(model: keras.Model) -> np.ndarray:
    """What the first convolution gives for the gray images, in all channels."""
    kinds = (keras.layers.Conv2D, keras.Sequential)
    first = next(layer for layer in model.layers if isinstance(layer, kinds))
    size = model.input_shape[1]
    pixels = np.repeat(GRAY[:, :size, :size], model.input_shape[-1], axis=-1)
    stem = keras.Model(model.input, first.output)
    return keras.ops.convert_to_numpy(stem(pixels))


def of_channels(name: str, num_channels: int, weights: str) -> np.ndarray:
    shape = (side(name), side(name), num_channels)
    return first_features(backbone(name, shape, weights))


def check_all_channels_alike(
    name: str, weights: str, channels: tuple[int, ...] = (1, 2, 4)
) -> np.ndarray:
    expected = of_channels(name, 3, weights)
    assert np.ptp(expected) > 0.1
    for num_channels in channels:
        got = of_channels(name, num_channels, weights)
        atol = 1e-5 * np.abs(expected).max()
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=atol)
    return expected


@once
def test_a_gray_efficient_net_has_all_of_the_preprocessing_of_three_channels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    downloads("EfficientNetB0", monkeypatch)
    ours = check_all_channels_alike("EfficientNetB0", "imagenet", channels=(1, 4))
    keras_own = keras.applications.EfficientNetB0(
        weights="imagenet", include_top=False, input_shape=(32, 32, 3)
    )
    np.testing.assert_allclose(ours, first_features(keras_own), rtol=1e-5)


@once
@pytest.mark.parametrize("kind", ["published", "with_rescaling.weights.h5"])
def test_a_file_of_imagenets_weights_is_read_as_keras_reads_its_download(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    downloads("EfficientNetB0", monkeypatch)
    theirs = keras.applications.EfficientNetB0(
        weights="imagenet", include_top=False, input_shape=(32, 32, 3)
    )
    path = FILE
    if kind != "published":
        path = kind
        # A normalization of other images: only the layers that the file lists tell.
        normalization = theirs.get_layer(index=2)
        normalization.set_weights([np.array(MEAN), np.array(MEAN) / 2, np.array(0)])
        normalization.finalize_state()
        theirs.save_weights(path)
    expected = first_features(theirs)
    got = of_channels("EfficientNetB0", 3, path)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


@once
def test_a_file_of_ones_own_weights_keeps_its_own_normalization() -> None:
    mine = stand_in("EfficientNetB0", variance=(0.5, 0.04, 0.1))
    mine.save_weights("mine.weights.h5")
    got = check_all_channels_alike("EfficientNetB0", "mine.weights.h5", channels=(4,))
    np.testing.assert_allclose(got, first_features(mine), rtol=1e-4, atol=1e-4)


def test_a_network_of_ones_own_is_shared_by_gray_images_behind_its_preprocessing() -> (
    None
):
    normalization = keras.layers.Normalization()
    normalization.adapt(np.random.default_rng(2).normal(size=(9, 3)) * [1, 2, 3])
    conv = keras.layers.Conv2D(2, 3)
    mine = keras.Sequential([keras.Input((32, 32, 3)), normalization, conv])
    gray = backbone(mine, (32, 32, 1), preprocessing="included")
    assert gray.weights[-1] is mine.weights[-1]
    pixels = GRAY[:, :32, :32]
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(gray(pixels)),
        keras.ops.convert_to_numpy(mine(np.repeat(pixels, 3, axis=-1))),
        rtol=1e-4,
    )


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("preprocessing", ["standardize", "bgr"])
def test_few_channels_meet_the_constants_of_red_green_and_blue(
    preprocessing: str, channels: int
) -> None:
    conv = keras.layers.Conv2D(4, 3, padding="same")
    mine = keras.Sequential([keras.Input((32, 32, 3)), conv])
    three = backbone(mine, preprocessing=preprocessing)
    few = backbone(mine, (32, 32, channels), preprocessing=preprocessing)
    pixels = GRAY[:, :32, :32]
    expected, got = (
        keras.ops.convert_to_numpy(model(np.repeat(pixels, number, axis=-1)))
        for model, number in ((three, 3), (few, channels))
    )
    atol = 1e-5 * np.abs(expected).max()
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=atol)


def adapted() -> keras.Model:
    normalization = keras.layers.Normalization()
    normalization.adapt(np.array([[1.0], [3.0], [8.0]]))
    dense = keras.layers.Dense(1, kernel_initializer="ones")
    layers = [normalization, keras.layers.Dense(1, kernel_initializer="ones"), dense]
    return keras.Sequential([keras.Input((1,)), *layers])


@pytest.mark.parametrize("copy", [reuse_layers, copied])
def test_a_copy_normalizes_as_the_model_it_is_of(copy: Callable) -> None:
    model, rows = adapted(), np.array([[7.0], [1.0]])
    twin = copy(model)
    body = keras.Model(model.inputs, model.layers[len(twin.layers) - 1].output)
    np.testing.assert_allclose(
        twin.predict(rows, verbose=0), body.predict(rows, verbose=0), rtol=1e-5
    )


@pytest.mark.filterwarnings("ignore:`input_shape` is undefined or non-square")
@pytest.mark.slow
@pytest.mark.parametrize("name", application_names())
def test_every_application_treats_gray_images_of_any_channels_alike(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "NASNetMobile" and keras.backend.backend() == "torch":
        with pytest.raises(ValueError, match="not available with the torch backend"):
            backbone(name, (32, 32, 1))
        return
    downloads(name, monkeypatch)
    check_all_channels_alike(name, "imagenet", channels=(1, 4))
    if name.startswith("EfficientNetB"):
        check_all_channels_alike(name, FILE, channels=(1, 4))
