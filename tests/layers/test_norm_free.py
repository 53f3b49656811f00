"""Blocks without normalization start as the identity and keep their variance."""

import itertools
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_deeptools.layers import (
    LayerScale,
    NormFreeResidual,
    ScalarBias,
    ScaledActivation,
    ScaledWSConv2D,
    SkipInit,
    fixup_initializer,
    norm_free_block,
)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def to_numpy(tensor: object) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(tensor), "float64")


# --- Scaled weight standardization ---------------------------------------------------


def test_the_convolution_is_that_of_a_kernel_standardized_by_numpy() -> None:
    layer = ScaledWSConv2D(6, 3, groups=2)
    x = normal(2, 7, 7, 4)
    outputs = to_numpy(layer(x))
    kernel = to_numpy(layer.kernel)
    gain = np.linspace(0.5, 2, 6)
    fan_in = 3 * 3 * 2
    centred = kernel - kernel.mean(axis=(0, 1, 2))
    standard = centred / (kernel.std(axis=(0, 1, 2)) * np.sqrt(fan_in))
    plain = keras.layers.Conv2D(6, 3, groups=2, kernel_initializer="zeros")
    plain.build(x.shape)
    plain.kernel.assign(standard)
    np.testing.assert_allclose(outputs, to_numpy(plain(x)), atol=1e-5)
    layer.gain.assign(gain)
    plain.kernel.assign(standard * gain)
    np.testing.assert_allclose(to_numpy(layer(x)), to_numpy(plain(x)), atol=1e-5)


def test_the_scale_of_the_kernel_does_not_matter_and_a_constant_one_is_no_nan() -> None:
    layer = ScaledWSConv2D(4, 3)
    x = normal(2, 5, 5, 4)
    before = to_numpy(layer(x))
    layer.kernel.assign(50 * to_numpy(layer.kernel) + 3)
    np.testing.assert_allclose(to_numpy(layer(x)), before, atol=1e-4)
    layer.kernel.assign(np.ones(layer.kernel.shape))
    assert np.isfinite(to_numpy(layer(x))).all()


@pytest.mark.parametrize("activation", [None, "relu", "gelu"])
def test_stacked_layers_keep_unit_variance_and_zero_mean_between_activations(
    activation: str | None,
) -> None:
    outputs = normal(16, 12, 12, 64)
    for _ in range(4):
        outputs = ScaledWSConv2D(64, 3, activation=activation)(outputs)
    outputs = to_numpy(ScaledWSConv2D(64, 1)(outputs))
    assert abs(outputs.std() - 1) < 0.08 and abs(outputs.mean()) < 0.08


@pytest.mark.parametrize(
    "activation, gain",
    # By quadrature, to four digits: 1 / std f(z).
    [("relu", 1.7129), ("elu", 1.2708), ("gelu", 1.7009), ("silu", 1.7872)]
    + [("mish", 1.5920), ("tanh", 1.5925), ("softsign", 2.3375), ("selu", 1.0)]
    + [("sigmoid", 4.8013)],
)
def test_the_gain_of_an_activation(activation: str, gain: float) -> None:
    assert abs(ScaledActivation(activation).gain - gain) < 1e-4


# --- Residual blocks -----------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"scheme": "fixup", "num_blocks": 4}])
def test_a_block_is_the_identity_at_first(options: dict) -> None:
    x = normal(2, 6, 6, 4)
    np.testing.assert_array_equal(to_numpy(norm_free_block(4, **options)(x)), x)


def test_a_block_with_layer_scale_is_near_the_identity_at_first() -> None:
    x = normal(2, 6, 6, 4)
    outputs = to_numpy(norm_free_block(4, scheme="layer_scale")(x))
    assert 0 < np.abs(outputs - x).max() < 1e-3


def test_the_branch_of_a_block_has_variance_1() -> None:
    block = norm_free_block(64, seed=0)
    x = normal(8, 12, 12, 64)
    block.build(x.shape)
    block.scale.multiplier.assign(1.0)
    inside = (to_numpy(block(x)) - x)[:, 2:-2, 2:-2]
    assert abs(inside.std() - 1) < 0.08


def test_scales_and_bias_do_what_they_say() -> None:
    x = normal(2, 3, 4)
    np.testing.assert_allclose(to_numpy(SkipInit(0.5)(x)), 0.5 * x)
    np.testing.assert_allclose(to_numpy(ScalarBias(0.5)(x)), 0.5 + x)
    by_channel = LayerScale(1.0, axis=1)
    by_channel.build(x.shape)
    by_channel.multipliers.assign([1.0, 2.0, 3.0])
    np.testing.assert_allclose(to_numpy(by_channel(x)), x * [[[1], [2], [3]]])


def test_fixup_scales_he_by_the_depth() -> None:
    kernel = to_numpy(fixup_initializer(16, 3, seed=0)((400, 400)))
    expected = np.sqrt(2 / 400) * 16 ** (-1 / 4)
    assert abs(kernel.std() / expected - 1) < 0.01


@pytest.mark.parametrize(
    "policy", ["mixed_bfloat16", pytest.param("float32", marks=pytest.mark.slow)]
)
def test_a_net_of_every_scheme_trains_is_saved_and_loads_in_safe_mode(
    policy: str, tmp_path: Path
) -> None:
    keras.config.set_dtype_policy(policy)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 4)),
            norm_free_block(4, strides=2),
            norm_free_block(4, scheme="layer_scale"),
            norm_free_block(4, scheme="fixup", num_blocks=3),
            NormFreeResidual(keras.layers.Dense(4), LayerScale(0.1)),
            keras.layers.GlobalAveragePooling2D(),
        ]
    )
    model.compile(keras.optimizers.SGD(0.1), "mse")
    x, y = normal(16, 6, 6, 4), normal(16, 4)
    model.fit(x, y, epochs=2, batch_size=8, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    for these, those in zip(loaded.variables, model.variables, strict=True):
        np.testing.assert_array_equal(to_numpy(these), to_numpy(those))
    np.testing.assert_array_equal(
        loaded.predict(x, verbose=0), model.predict(x, verbose=0)
    )


def test_the_kernels_of_a_block_with_a_seed_are_their_own_and_repeat() -> None:
    blocks = [norm_free_block(4, seed=1) for _ in range(2)]
    for block in blocks:
        block.build((None, 5, 5, 4))
    kernels = [
        to_numpy(layer.kernel)
        for block in blocks
        for layer in block.branch
        if hasattr(layer, "kernel")
    ]
    np.testing.assert_array_equal(kernels[0], kernels[2])
    assert (kernels[0] != kernels[1]).any()


# --- Bad input -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "make, error, words",
    [
        (lambda: SkipInit("zero"), TypeError, "`initial_value`"),
        (lambda: SkipInit(float("nan")), ValueError, "`initial_value`"),
        (lambda: LayerScale(axis=0.5), TypeError, "`axis`"),
        (lambda: LayerScale(axis=0).build((3, 4)), ValueError, "`axis`"),
        (lambda: LayerScale(axis=2).build((3, 4)), ValueError, "`axis`"),
        (lambda: fixup_initializer(0), ValueError, "`num_blocks`"),
        (lambda: fixup_initializer(4, 1), ValueError, "`num_layers`"),
        (lambda: NormFreeResidual(keras.layers.Dense(3), 0.1), TypeError, "`scale`"),
        (lambda: norm_free_block(4, scheme="batch"), ValueError, "`scheme`"),
        (lambda: norm_free_block(4, scheme="fixup"), ValueError, "`num_blocks`"),
        (lambda: norm_free_block(4, num_blocks=3), ValueError, "`num_blocks`"),
        (
            lambda: ScaledActivation(keras.ops.zeros_like),
            ValueError,
            "`activation` must be a function that is not constant",
        ),
    ],
)
def test_bad_arguments_are_named(make: object, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        make()


def test_strided_blocks_follow_keras_image_data_format() -> None:
    saved = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_first")
    try:
        for scheme, strides in itertools.product(("skip_init", "layer_scale"), (1, 2)):
            block = norm_free_block(4, strides=strides, scheme=scheme)
            shape = block.compute_output_shape((None, 4, 8, 8))
            block.build((None, 4, 8, 8))
            assert shape == (None, 4, 8 // strides, 8 // strides)
    finally:
        keras.config.set_image_data_format(saved)
