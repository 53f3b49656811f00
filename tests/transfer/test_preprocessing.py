"""What a backbone does to pixels is what `keras.applications` asks for."""

import keras
import numpy as np
import pytest

from keras_deeptools.transfer import backbone
from keras_deeptools.transfer._backbones.applications import (
    application_names,
    preprocessing_of,
)
from keras_deeptools.transfer._backbones.preprocessing import (
    Preprocessing,
    channel_reads,
)

PIXELS = np.random.default_rng(0).uniform(0, 255, (2, 3, 3, 3)).astype("float32")
# Their own `preprocess_input` changes nothing: the networks do it inside.
INSIDE = ("convnext", "efficientnet", "efficientnet_v2", "mobilenet_v3")


def module_of(name: str) -> str:
    return getattr(keras.applications, name).__module__.rpartition(".")[2]


NAMES = application_names()
OUTSIDE_NAMES = [name for name in NAMES if module_of(name) not in INSIDE]


def prepared(preprocessing: Preprocessing) -> np.ndarray:
    inputs = keras.Input((3, 3, 3))
    reads = channel_reads(3, preprocessing.kernel_order)
    model = keras.Model(inputs, preprocessing.apply(inputs, reads))
    return keras.ops.convert_to_numpy(model(PIXELS))


def as_imagenet_torch(pixels: np.ndarray) -> np.ndarray:
    preprocess = keras.applications.imagenet_utils.preprocess_input
    return preprocess(pixels.copy(), mode="torch")


def test_every_constructor_of_keras_applications_is_known() -> None:
    capitals = [name for name in dir(keras.applications) if name[0].isupper()]
    assert capitals == NAMES


@pytest.mark.parametrize("name", OUTSIDE_NAMES)
def test_pixels_are_prepared_as_by_preprocess_input_of_the_module(name: str) -> None:
    module = getattr(keras.applications, module_of(name))
    expected = module.preprocess_input(PIXELS.copy())
    np.testing.assert_allclose(
        prepared(preprocessing_of(name)), expected, rtol=1e-5, atol=2e-5
    )


@pytest.mark.parametrize("module", INSIDE)
def test_preprocess_input_of_other_modules_does_nothing(module: str) -> None:
    preprocess = getattr(keras.applications, module).preprocess_input
    np.testing.assert_array_equal(preprocess(PIXELS.copy()), PIXELS)


@pytest.mark.parametrize("name", ["ConvNeXtTiny", "EfficientNetV2B0"])
def test_what_keras_standardizes_inside_is_standardized_before(name: str) -> None:
    expected = as_imagenet_torch(PIXELS)
    np.testing.assert_allclose(prepared(preprocessing_of(name)), expected, atol=2e-5)


@pytest.mark.parametrize(
    ("name", "center"),
    [("EfficientNetV2S", 128), ("EfficientNetV2L", 128), ("MobileNetV3Small", 127.5)],
)
def test_what_keras_rescales_inside_is_rescaled_before(
    name: str, center: float
) -> None:
    expected = PIXELS / center - 1
    np.testing.assert_allclose(prepared(preprocessing_of(name)), expected, atol=1e-6)


def before_the_first_convolution(model: keras.Model, pixels: np.ndarray) -> np.ndarray:
    kinds = (keras.layers.Conv2D, keras.layers.ZeroPadding2D, keras.Sequential)
    first = next(layer for layer in model.layers if isinstance(layer, kinds))
    return keras.ops.convert_to_numpy(keras.Model(model.input, first.input)(pixels))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["ConvNeXtTiny", "EfficientNetV2B0", "EfficientNetV2S", "MobileNetV3Small"]
)
def test_pixels_are_prepared_as_by_the_layers_inside_the_application(
    name: str,
) -> None:
    pixels = np.random.default_rng(1).uniform(0, 255, (1, 32, 32, 3)).astype("float32")
    build = getattr(keras.applications, name)
    theirs = build(weights=None, include_top=False, input_shape=(32, 32, 3))
    ours = backbone(name, (32, 32, 3), weights=None)
    np.testing.assert_allclose(
        before_the_first_convolution(ours, pixels),
        before_the_first_convolution(theirs, pixels),
        atol=2e-5,
    )


@pytest.mark.slow
def test_a_fresh_efficient_net_standardizes_as_its_imagenet_weights_do() -> None:
    pixels = np.random.default_rng(1).uniform(0, 255, (1, 32, 32, 3)).astype("float32")
    model = backbone("EfficientNetB0", (32, 32, 3), weights=None)
    expected = as_imagenet_torch(pixels)
    got = before_the_first_convolution(model, pixels)
    np.testing.assert_allclose(got, expected, atol=2e-5)


def test_preprocessing_stays_in_float32_under_a_half_precision_policy() -> None:
    keras.config.set_dtype_policy("mixed_float16")
    expected = as_imagenet_torch(PIXELS)
    np.testing.assert_allclose(
        prepared(Preprocessing("standardize")), expected, atol=2e-5
    )
