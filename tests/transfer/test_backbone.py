"""Networks on pixels: channels, sizes, files and errors."""

import json
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_deeptools.transfer import backbone, layer_groups
from keras_deeptools.transfer._backbones.applications import application_names
from newer_keras import needs_keras

CONV = keras.layers.Conv2D
GRAY = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 1), "uint8")


def small_network(channels: int = 3) -> keras.Model:
    return keras.Sequential(
        [keras.Input((32, 32, channels)), CONV(4, 3, name="first"), CONV(2, 3)]
    )


def features(model: keras.Model, num_channels: int) -> np.ndarray:
    pixels = np.repeat(GRAY, num_channels, axis=-1)
    return keras.ops.convert_to_numpy(model(pixels.astype("float32")))


def mobile_net(channels: int, weights: str | None) -> keras.Model:
    return backbone("MobileNet", (32, 32, channels), weights, alpha=0.25)


@pytest.fixture(scope="module")
def network() -> keras.Model:
    keras.utils.set_random_seed(0)
    return mobile_net(3, None)


def first_features(model: keras.Model) -> keras.Model:
    """Up to the first convolution: later ones, when fresh, shrink what they get."""
    return keras.Model(model.input, model.get_layer("conv1").output)


def test_a_named_network_takes_stored_images_and_gives_what_the_plain_one_gives(
    network: keras.Model,
) -> None:
    plain = keras.applications.MobileNet(
        weights=None, include_top=False, input_shape=(32, 32, 3), alpha=0.25
    )
    plain.set_weights([keras.ops.convert_to_numpy(w) for w in network.weights])
    pixels = np.random.default_rng(1).integers(0, 256, (2, 32, 32, 3), "uint8")
    prepared = keras.applications.mobilenet.preprocess_input(pixels)
    expected = first_features(plain).predict(prepared, verbose=0)
    got = first_features(network).predict(pixels, verbose=0)
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_the_layers_of_a_named_network_are_not_nested(network: keras.Model) -> None:
    assert isinstance(network.get_layer("conv1"), CONV)


@pytest.mark.parametrize("channels", [1, 4])
def test_weights_of_three_channels_treat_gray_images_of_other_channels_the_same(
    network: keras.Model, channels: int
) -> None:
    network.save_weights("three.weights.h5")
    other = mobile_net(channels, "three.weights.h5")
    expected = features(first_features(network), 3)
    assert np.ptp(expected) > 0.1
    got = features(first_features(other), channels)
    np.testing.assert_allclose(got, expected, atol=1e-5)
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(other.get_layer("conv_pw_13").kernel),
        keras.ops.convert_to_numpy(network.get_layer("conv_pw_13").kernel),
    )


@pytest.mark.parametrize("preprocessing", ["standardize", "bgr", "symmetric"])
def test_a_network_of_ones_own_treats_gray_images_of_seven_channels_the_same(
    preprocessing: str,
) -> None:
    mine = small_network()
    three = backbone(mine, preprocessing=preprocessing)
    seven = backbone(mine, (32, 32, 7), preprocessing=preprocessing)
    assert seven.input_shape == (None, 32, 32, 7)
    # The constants of the three channels differ, so each keeps the one of its kernel.
    np.testing.assert_allclose(
        features(seven, 7), features(three, 3), rtol=1e-4, atol=1e-3
    )


def test_extra_channels_keep_the_order_of_red_green_and_blue() -> None:
    mine = small_network()
    three = backbone(mine, preprocessing="bgr")
    six = backbone(mine, (32, 32, 6), preprocessing="bgr")
    pixels = np.random.default_rng(2).uniform(0, 255, (1, 32, 32, 3)).astype("float32")
    twice = np.concatenate([pixels, pixels], axis=-1)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(six(twice)),
        keras.ops.convert_to_numpy(three(pixels)),
        rtol=1e-4,
        atol=1e-3,
    )


def test_a_network_of_ones_own_shares_its_layers() -> None:
    mine = small_network()
    on_pixels = backbone(mine, preprocessing="symmetric")
    assert on_pixels.weights[0] is mine.weights[0]


def test_other_channels_leave_the_given_network_as_it_was() -> None:
    mine = small_network()
    before = keras.ops.convert_to_numpy(mine.weights[0]).copy()
    backbone(mine, (32, 32, 1), preprocessing="symmetric")
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(mine.weights[0]), before)


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.conv = CONV(2, 3)

    def call(self, images: object) -> object:
        return self.conv(images)


def test_a_subclassed_network_works_with_a_shape() -> None:
    model = backbone(Subclassed(), (8, 8, 3), pooling="max", preprocessing="included")
    assert model.output_shape == (None, 2)


def test_preprocessing_can_be_a_layer() -> None:
    halve = keras.layers.Rescaling(0.5)
    mine = keras.Sequential([keras.Input((2, 2, 3)), keras.layers.Flatten()])
    model = backbone(mine, preprocessing=halve)
    assert float(model(np.ones((1, 2, 2, 3), "float32"))[0, 0]) == 0.5


@needs_keras("3.11", "loading a model around a model")
@pytest.mark.parametrize("preprocessing", ["standardize", "bgr", "symmetric"])
def test_a_saved_backbone_holds_nothing_of_this_package(
    preprocessing: str, tmp_path: Path
) -> None:
    model = backbone(small_network(), pooling="avg", preprocessing=preprocessing)
    path = tmp_path / "model.keras"
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
    assert "keras_deeptools" not in json.dumps(config)
    again = keras.saving.load_model(path)
    np.testing.assert_allclose(features(again, 3), features(model, 3), rtol=1e-5)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("name", "least"), [("ResNet50", 32), ("InceptionV3", 75), ("Xception", 71)]
)
def test_images_too_small_are_named_with_the_least_size(name: str, least: int) -> None:
    with pytest.raises(ValueError, match=f"at least {least} x {least} for {name}"):
        backbone(name, (least - 1, least, 3), weights=None)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"model": "MobileNetV9"}, ValueError, "one of 'ConvNeXtBase'"),
        ({"model": "VGG16"}, TypeError, "`input_shape` must be three integers"),
        (
            {"model": "VGG16", "input_shape": (32, 32, None)},
            ValueError,
            "`input_shape` must be three integers",
        ),
        ({"model": "VGG16", "pooling": "mean"}, ValueError, "`pooling` must be one of"),
        (
            {"model": "VGG16", "input_shape": (32, 32, 3), "preprocessing": "bgr"},
            ValueError,
            "`preprocessing` must be None",
        ),
        ({"model": small_network()}, ValueError, "cannot be read from its weights"),
        ({"model": Subclassed()}, ValueError, "`input_shape` must be given"),
        (
            {
                "model": keras.Sequential(
                    [keras.Input((4, 4, 3)), keras.layers.ReLU()]
                ),
                "input_shape": (4, 4, 2),
                "preprocessing": "included",
            },
            ValueError,
            "as many channels as the model",
        ),
        (
            {
                "model": keras.Sequential([keras.Input((2, 3)), keras.layers.ReLU()]),
                "preprocessing": "included",
            },
            ValueError,
            "three integers",
        ),
        ({"model": small_network(), "alpha": 1}, TypeError, "no arguments of a cons"),
    ],
)
def test_a_wrong_argument_is_named(
    arguments: dict[str, object], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        backbone(**arguments)


@pytest.mark.slow
@pytest.mark.parametrize("name", application_names())
def test_every_application_is_built_and_grouped(name: str) -> None:
    if name == "NASNetMobile" and keras.backend.backend() == "torch":
        with pytest.raises(ValueError, match="not available with the torch backend"):
            backbone(name, (96, 96, 3), weights=None)
        return
    model = backbone(name, (96, 96, 3), weights=None, pooling="avg")
    groups = layer_groups(model)
    assert len(model.output_shape) == 2
    assert 4 <= len(groups) <= 7
    assert sum(group.num_parameters for group in groups) == model.count_params()
    assert len(layer_groups(model, num_groups=3)) == 3


def test_a_file_of_weights_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match="backbone: `weights` must be .* a file that"):
        backbone("MobileNetV2", (32, 32, 3), weights="missing.h5")
