"""ICNR, IdentityRNN and ZerO, against PyTorch, Keras and scipy."""

import keras
import numpy as np
import pytest
import scipy.linalg
import torch

from keras_deeptools.initializers import (
    ICNR,
    DeltaOrthogonal,
    FanScaling,
    IdentityRNN,
    ScaledOrthogonal,
    ZerO,
)


def values(tensor: object) -> np.ndarray:
    return keras.ops.convert_to_numpy(tensor)


def test_icnr_upsamples_to_nearest_neighbours() -> None:
    init = ICNR(FanScaling(kind="conv", seed=0), scale=3)
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 3)).astype("float32")
    y = keras.layers.Conv2D(18, 3, padding="same", kernel_initializer=init)(x)
    picture = values(keras.ops.depth_to_space(y, 3))
    nearest = picture[:, ::3, ::3].repeat(3, axis=1).repeat(3, axis=2)
    np.testing.assert_allclose(picture, nearest, atol=1e-5)


def test_icnr_upsamples_to_nearest_neighbours_with_torchs_pixel_shuffle() -> None:
    init = ICNR(FanScaling(kind="conv", seed=0), scale=2, channels_outermost=True)
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 3)).astype("float32")
    y = values(keras.layers.Conv2D(20, 1, kernel_initializer=init)(x))
    channels_first = torch.from_numpy(np.array(y.transpose(0, 3, 1, 2)))
    picture = torch.pixel_shuffle(channels_first, 2)
    nearest = torch.nn.functional.interpolate(picture[:, :, ::2, ::2], scale_factor=2)
    torch.testing.assert_close(picture, nearest, atol=1e-5, rtol=0)


def test_an_irnn_keeps_its_state_over_a_hundred_silent_steps() -> None:
    rnn = keras.layers.SimpleRNN(8, "relu", recurrent_initializer=IdentityRNN())
    state = np.random.default_rng(0).uniform(size=(2, 8)).astype("float32")
    silence = np.zeros((2, 100, 3), "float32")
    np.testing.assert_allclose(values(rnn(silence, initial_state=state)), state)


def test_a_fused_recurrent_kernel_gets_an_identity_for_each_gate() -> None:
    kernel = values(IdentityRNN(0.5)((3, 12)))
    np.testing.assert_array_equal(kernel, np.tile(np.eye(3) / 2, (1, 4)))


@pytest.mark.parametrize("inputs, outputs", [(3, 8), (5, 6), (4, 16), (1, 2)])
def test_zero_widens_by_an_orthonormal_hadamard_matrix(
    inputs: int, outputs: int
) -> None:
    size = 2 ** int(np.ceil(np.log2(outputs)))
    hadamard = scipy.linalg.hadamard(size) / np.sqrt(size)
    kernel = values(ZerO()((inputs, outputs)))
    np.testing.assert_allclose(kernel, hadamard[:inputs, :outputs], rtol=1e-6)


def test_zero_is_torchs_eye_where_a_layer_does_not_widen() -> None:
    reference = torch.nn.init.eye_(torch.empty(7, 4)).numpy()
    np.testing.assert_array_equal(values(ZerO()((7, 4))), reference)


def test_zero_is_torchs_dirac_in_a_convolution() -> None:
    reference = torch.nn.init.dirac_(torch.empty(4, 6, 3, 3)).numpy()
    kernel = values(ZerO()((3, 3, 6, 4)))
    np.testing.assert_array_equal(kernel.transpose(3, 2, 0, 1), reference)


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "bfloat16"])
def test_a_model_with_all_of_them_comes_back_from_a_file(policy: str) -> None:
    keras.config.set_dtype_policy(policy)
    conv = [
        keras.layers.Conv2D(4, 3, kernel_initializer=initializer)
        for initializer in (
            DeltaOrthogonal(seed=1),
            ICNR(FanScaling(seed=1)),
            ZerO(0.5),
            ScaledOrthogonal(seed=1),
        )
    ]
    rnn = keras.layers.SimpleRNN(3, recurrent_initializer=IdentityRNN())
    model = keras.Sequential(
        [keras.Input((12, 12, 2)), *conv, keras.layers.Reshape((-1, 4)), rnn]
    )
    model.save("model.keras")
    loaded = keras.saving.load_model("model.keras", safe_mode=True)
    for before, after in zip(conv, loaded.layers, strict=False):
        this, that = before.kernel_initializer, after.kernel_initializer
        assert type(this) is type(that)
        assert this.get_config() == that.get_config()
    for this, that in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(values(this), values(that))


@pytest.mark.parametrize(
    "call, text",
    [
        (lambda: ICNR(scale=2)((3, 3, 4, 6)), "ICNR: `shape` must be"),
        (lambda: ICNR(scale=0), "ICNR: `scale` must be"),
        (lambda: ICNR("no such"), "ICNR: `initializer` must be"),
        (lambda: ICNR(None), "ICNR: `initializer` must be"),
        (lambda: IdentityRNN()((3, 8)), "IdentityRNN: `shape` must be"),
        (lambda: IdentityRNN(0), "IdentityRNN: `gain` must be"),
        (lambda: ZerO()((3,)), "ZerO: `shape` must be"),
        (lambda: ZerO(float("nan")), "ZerO: `gain` must be"),
    ],
)
def test_bad_input_is_an_error_by_name(call: object, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        call()
