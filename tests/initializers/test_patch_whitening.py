"""Dirac against the identity, and patch whitening against its definition."""

import keras
import numpy as np
import pytest

from keras_deeptools.initializers import Dirac, patch_whitening

RANDOM = np.random.default_rng(0)
# Neighbouring pixels and the channels are correlated, as in pictures.
IMAGES = RANDOM.normal(2.0, 1.0, size=(128, 9, 8, 2)).cumsum(1) / 3
IMAGES[..., 1] += IMAGES[..., 0]


@pytest.mark.parametrize("cls, sides", [("Conv1D", 1), ("Conv2D", 2), ("Conv3D", 3)])
@pytest.mark.parametrize("taps", [3, 4])
@pytest.mark.one_backend
def test_a_dirac_convolution_is_the_identity(cls: str, sides: int, taps: int) -> None:
    x = RANDOM.normal(size=(2, *[5] * sides, 3)).astype("float32")
    conv = getattr(keras.layers, cls)(
        3, taps, padding="same", kernel_initializer=Dirac(), data_format="channels_last"
    )
    np.testing.assert_allclose(keras.ops.convert_to_numpy(conv(x)), x, atol=1e-6)


@pytest.mark.one_backend
def test_each_group_passes_its_own_channels_on() -> None:
    x = RANDOM.normal(size=(2, 5, 4)).astype("float32")
    conv = keras.layers.Conv1D(
        4, 3, padding="same", groups=2, kernel_initializer=Dirac(2.0, groups=2)
    )
    np.testing.assert_allclose(keras.ops.convert_to_numpy(conv(x)), 2 * x, atol=1e-6)


@pytest.mark.parametrize("shape", [(3,), (3, 2, 3)])
@pytest.mark.one_backend
def test_a_kernel_that_dirac_cannot_fill_is_an_error(shape: tuple) -> None:
    with pytest.raises(ValueError, match="Dirac: `shape` must be"):
        Dirac(groups=2)(shape)


@pytest.mark.parametrize("dilation", [1, 2])
def test_outputs_are_white_over_the_patches(dilation: int) -> None:
    conv = keras.layers.Conv2D(16, (2, 2), dilation_rate=dilation)
    model = keras.Sequential([keras.Input((9, 8, 2)), conv])
    assert patch_whitening(model, IMAGES, epsilon=0.0) == 16
    y = model.predict(IMAGES, verbose=0, batch_size=128).reshape(-1, 16)
    np.testing.assert_allclose(y.mean(0), 0, atol=2e-2)
    np.testing.assert_allclose(np.cov(y[:, :8].T), np.eye(8), atol=2e-2)
    np.testing.assert_allclose(y[:, 8:], -y[:, :8], atol=1e-3)


@pytest.mark.one_backend
def test_the_first_filters_follow_the_largest_variances_and_others_stay() -> None:
    few = keras.layers.Conv2D(3, 2, use_bias=False)
    model = keras.Sequential([keras.Input((9, 8, 2)), few])
    assert patch_whitening(model, IMAGES, epsilon=0.0) == 3
    norms = np.linalg.norm(
        keras.ops.convert_to_numpy(few.kernel).reshape(-1, 3), axis=0
    )
    assert (np.diff(norms) > 0).all()
    many = keras.layers.Conv2D(20, 2, kernel_initializer="ones")
    assert (
        patch_whitening(keras.Sequential([keras.Input((9, 8, 2)), many]), IMAGES) == 16
    )
    kernel = keras.ops.convert_to_numpy(many.kernel)
    assert (kernel[..., 16:] == 1).all() and (kernel[..., :16] != 1).all()


def test_channels_first_gives_the_same_filters() -> None:
    inputs = keras.Input((2, 9, 8))
    model = keras.Model(
        inputs,
        keras.layers.Conv2D(16, 2, data_format="channels_first", name="c")(inputs),
    )
    kernels = []
    turned = IMAGES.transpose(0, 3, 1, 2)
    if keras.backend.backend() != "tensorflow":  # which has no such convolution on CPUs
        patch_whitening(model, turned)
        kernels.append(keras.ops.convert_to_numpy(model.layers[1].kernel))
        last = keras.layers.Conv2D(16, 2)
        patch_whitening(keras.Sequential([keras.Input((9, 8, 2)), last]), IMAGES)
        kernels.append(keras.ops.convert_to_numpy(last.kernel))
        np.testing.assert_allclose(*np.abs(kernels), rtol=1e-3, atol=1e-4)


@pytest.mark.one_backend
def test_layers_in_front_of_the_convolution_count() -> None:
    conv = keras.layers.Conv2D(8, 2, name="first")
    scaling = keras.layers.Rescaling(1 / 255)
    model = keras.Sequential([keras.Input((9, 8, 2)), scaling, conv])
    patch_whitening(model, IMAGES * 255, epsilon=0.0, layer="first")
    y = model.predict(IMAGES * 255, verbose=0).reshape(-1, 8)
    np.testing.assert_allclose(np.cov(y.T), np.eye(8), atol=2e-2)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "layers, error",
    [
        ([keras.layers.Flatten(), keras.layers.Dense(2)], "the name of a convolution"),
        ([keras.layers.Conv2D(2, 2, groups=2)], "a layer without groups"),
    ],
)
def test_a_model_without_a_fitting_convolution_is_an_error(layers, error) -> None:
    model = keras.Sequential([keras.Input((9, 8, 2)), *layers])
    with pytest.raises(ValueError, match=error):
        patch_whitening(model, IMAGES)
