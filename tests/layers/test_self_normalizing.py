"""Self-normalizing layers keep mean 0 and variance 1, in depth and at the edges.

Few shapes of kernels: JAX compiles the drawing of each one for over a second.
"""

from pathlib import Path

import keras
import numpy as np
import pytest

from keras_deeptools.layers import (
    SelfNormalizingConv1D,
    SelfNormalizingConv2D,
    SelfNormalizingConv3D,
    SelfNormalizingDense,
    SelfNormalizingResidual,
    self_normalizing_mlp,
)
from keras_deeptools.layers._self_normalizing_conv import edge_gain

CONVS = {1: SelfNormalizingConv1D, 2: SelfNormalizingConv2D, 3: SelfNormalizingConv3D}


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def to_numpy(tensor: object) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(tensor), "float64")


# --- Through depth -------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_fifty_blocks_with_dropout_stay_within_a_twentieth_of_mean_0_and_deviation_1(
    seed: int,
) -> None:
    outputs = keras.ops.convert_to_tensor(normal(512, 256, seed=seed))
    for i in range(50):
        layer = SelfNormalizingDense(256, rate=0.1, seed=1000 * seed + i)
        outputs = layer(outputs, training=True)
        values = to_numpy(outputs)
        assert abs(values.mean()) < 0.05 and abs(values.std() - 1) < 0.05, i


def test_a_funnel_keeps_the_deviation() -> None:
    outputs = normal(512, 256)
    for i, units in enumerate((256, 64, 64)):
        outputs = SelfNormalizingDense(units, seed=i)(outputs)
    assert abs(to_numpy(outputs).std() - 1) < 0.1


def test_residual_blocks_keep_the_deviation_where_plain_sums_explode() -> None:
    ours = plain = keras.ops.convert_to_tensor(normal(256, 256))
    for i in range(30):
        ours = SelfNormalizingResidual(SelfNormalizingDense(256, seed=i))(ours)
        plain = plain + SelfNormalizingDense(256, seed=i)(plain)
    assert abs(to_numpy(ours).std() - 1) < 0.08
    assert to_numpy(plain).std() > 1e3


@pytest.mark.parametrize("fraction", [0.05, 0.8])
def test_the_branch_has_its_fraction_of_the_variance(fraction: float) -> None:
    zero = keras.layers.Dense(64, kernel_initializer="zeros")
    x = normal(32, 64)
    outputs = to_numpy(SelfNormalizingResidual(zero, fraction)(x))
    np.testing.assert_allclose(outputs, x * np.sqrt(1 - fraction), rtol=1e-5)


# --- At the edges --------------------------------------------------------------------


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("window", [(3, 1, 1), (4, 1, 1), (5, 2, 1), (3, 1, 4)])
def test_the_gain_at_the_edges_counts_the_taps_that_fall_on_data(
    causal: bool, window: tuple[int, int, int]
) -> None:
    size, (kernel_size, stride, dilation) = 9, window
    reach = (kernel_size - 1) * dilation
    length = int(np.ceil(size / stride))
    total = max((length - 1) * stride + reach + 1 - size, 0)
    front = reach if causal else total // 2
    ones = np.pad(np.ones(size), (front, reach + stride))
    starts = range(0, length * stride, stride)
    counts = [ones[i : i + reach + 1 : dilation].sum() for i in starts]
    gain = to_numpy(edge_gain(size, kernel_size, stride, dilation, causal))
    np.testing.assert_allclose(gain, np.sqrt(kernel_size / np.array(counts)), rtol=1e-6)


@pytest.mark.parametrize(
    "rank, options",
    [
        (1, {"padding": "causal", "kernel_size": 4, "dilation_rate": 2}),
        (2, {"padding": "same", "kernel_size": (2, 5), "strides": 2, "groups": 2}),
        (3, {"padding": "same", "kernel_size": 3}),
    ],
)
def test_each_position_has_the_variance_of_the_inside(rank: int, options: dict) -> None:
    x = np.sign(normal(2, *{1: (9,), 2: (6, 7), 3: (4, 3, 4)}[rank], 4))
    # On an input with squares of 1 a linear layer of weights of variance 1 / fan-in
    # has outputs of variance 1 over the draws of its weights: its filters.
    layer = CONVS[rank](4096, use_bias=False, **options)
    layer.activation = keras.activations.linear
    np.testing.assert_allclose(to_numpy(layer(x)).var(axis=-1), 1.0, atol=0.12)


@pytest.mark.parametrize(
    "rank, padding",
    [(1, "causal"), (2, "reflect"), (3, "same")],
)
def test_channels_first_gives_what_channels_last_gives(rank: int, padding: str) -> None:
    options = {"kernel_size": 3, "padding": padding, "seed": 1}
    x = normal(2, *(6, 5, 4)[:rank], 4)
    last = CONVS[rank](4, data_format="channels_last", **options)(x)
    first = CONVS[rank](4, data_format="channels_first", **options)
    outputs = to_numpy(first(np.moveaxis(x, -1, 1)))
    np.testing.assert_allclose(np.moveaxis(outputs, 1, -1), to_numpy(last), atol=2e-6)


@pytest.mark.parametrize(
    "kernel_size, options",
    [
        (3, {"padding": "same"}),
        ((3, 4), {"padding": "same", "strides": 2}),
    ],
)
def test_inside_it_is_the_convolution_of_keras(
    kernel_size: object, options: dict
) -> None:
    ours = SelfNormalizingConv2D(4, kernel_size, seed=0, **options)
    theirs = keras.layers.Conv2D(
        4, kernel_size, activation="selu", kernel_initializer="zeros", **options
    )
    x = normal(2, 11, 11, 4)
    outputs = to_numpy(ours(x))
    theirs.build(x.shape)
    theirs.kernel.assign(ours.kernel)
    inside = (slice(None), slice(2, -2), slice(2, -2))
    np.testing.assert_allclose(outputs[inside], to_numpy(theirs(x))[inside], atol=1e-5)


def test_reflection_is_that_of_numpy() -> None:
    layer = SelfNormalizingConv2D(4, (3, 4), padding="reflect", seed=0)
    x = normal(2, 5, 6, 4)
    padded = np.pad(x, [(0, 0), (1, 1), (1, 2), (0, 0)], "reflect")
    outputs = to_numpy(layer(x))
    plain = keras.ops.conv(padded, layer.kernel, padding="valid")
    expected = to_numpy(keras.activations.selu(plain))
    np.testing.assert_allclose(outputs, expected, atol=1e-5)


@pytest.mark.parametrize("padding", ["same", "causal"])
def test_inputs_of_unknown_length_are_welcome(padding: str) -> None:
    layer = SelfNormalizingConv1D(4, 3, padding=padding, seed=0)
    model = keras.Sequential([keras.Input((None, 4)), layer])
    x = normal(2, 7, 4)
    outputs = model.predict(x, verbose=0)
    np.testing.assert_allclose(outputs, to_numpy(layer(x)), atol=1e-5)


# --- Projections ---------------------------------------------------------------------


def conv_branch(**options: object) -> list[keras.Layer]:
    return [
        SelfNormalizingConv2D(4, 3, padding="same", **options),
        SelfNormalizingConv2D(4, 3, padding="same"),
    ]


@pytest.mark.parametrize(
    "branch, shape, outputs",
    [
        (lambda: SelfNormalizingDense(64), (256,), (64,)),
        (lambda: SelfNormalizingDense(64), (None, 256), (None, 64)),
        (lambda: keras.Sequential(conv_branch(strides=2)), (7, 6, 4), (4, 3, 4)),
    ],
)
def test_a_branch_that_changes_the_shape_gets_a_projection(
    branch: object, shape: tuple, outputs: tuple
) -> None:
    block = SelfNormalizingResidual(branch())
    model = keras.Sequential([keras.Input(shape), block])
    assert model.output_shape == (None, *outputs)
    x = normal(2, *(6 if size is None else size for size in shape))
    assert block(x).shape[-1] == outputs[-1]


def test_a_projection_keeps_the_deviation() -> None:
    block = SelfNormalizingResidual(SelfNormalizingDense(64))
    assert abs(to_numpy(block(normal(256, 256))).std() - 1) < 0.1


def test_a_projection_of_maps_of_unknown_size_takes_the_strides_of_the_branch() -> None:
    block = SelfNormalizingResidual(conv_branch(strides=(2, 1)))
    block.build((None, None, None, 4))
    assert block.projection.strides == (2, 1)


def test_a_branch_that_no_projection_fits_says_so() -> None:
    block = SelfNormalizingResidual(SelfNormalizingConv2D(4, 3))
    with pytest.raises(ValueError, match="`projection` must be given"):
        block.build((None, 6, 6, 4))
    wrong = SelfNormalizingResidual(
        SelfNormalizingDense(4), projection=keras.layers.Dense(3)
    )
    with pytest.raises(ValueError, match="`projection` must be a layer from"):
        wrong.build((None, 4))


# --- Saved, mixed, trained -----------------------------------------------------------


def every_kind() -> keras.Model:
    x = keras.Input((6, 6, 4))
    y = SelfNormalizingConv2D(4, 3, padding="same", rate=0.1, seed=0)(x)
    branch = SelfNormalizingConv2D(4, 3, 2, padding="same")
    y = SelfNormalizingResidual(branch, 0.3)(y)
    y = SelfNormalizingConv2D(4, 3, padding="reflect")(y)
    y = keras.layers.Reshape((9, 4))(y)
    y = SelfNormalizingConv1D(4, 3, padding="causal")(y)
    y = keras.layers.Reshape((3, 3, 1, 4))(y)
    y = SelfNormalizingConv3D(4, 3, padding="same")(y)
    y = keras.layers.Flatten()(y)
    y = SelfNormalizingResidual(SelfNormalizingDense(8, rate=0.1))(y)
    return keras.Model(x, SelfNormalizingDense(2, kernel_regularizer="l2")(y))


@pytest.mark.parametrize(
    "policy", ["mixed_bfloat16", pytest.param("float32", marks=pytest.mark.slow)]
)
def test_a_model_trains_is_saved_and_loads_in_safe_mode(
    policy: str, tmp_path: Path
) -> None:
    keras.config.set_dtype_policy(policy)
    model = every_kind()
    model.compile("adam", "mse")
    x, y = normal(16, 6, 6, 4), normal(16, 2)
    before = [to_numpy(v) for v in model.trainable_variables]
    history = model.fit(x, y, batch_size=8, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    after = [to_numpy(v) for v in model.trainable_variables]
    assert all((a != b).any() for a, b in zip(before, after, strict=True))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert loaded.layers[-1].compute_dtype == model.layers[-1].compute_dtype
    np.testing.assert_array_equal(
        loaded.predict(x, verbose=0), model.predict(x, verbose=0)
    )


def test_dropout_acts_in_training_only_and_inside_a_residual_too() -> None:
    block = SelfNormalizingResidual(SelfNormalizingDense(64, rate=0.5, seed=0))
    x = normal(16, 64)
    still = [to_numpy(block(x)), to_numpy(block(x, training=False))]
    np.testing.assert_array_equal(*still)
    moving = [to_numpy(block(x, training=True)) for _ in range(2)]
    assert (moving[0] != moving[1]).any() and (moving[0] != still[0]).any()


def test_a_seed_repeats_kernel_and_masks() -> None:
    x = normal(8, 64)
    outputs = [
        to_numpy(SelfNormalizingDense(64, rate=0.5, seed=3)(x, training=True))
        for _ in range(2)
    ]
    np.testing.assert_array_equal(*outputs)


# --- The net of plain parts ----------------------------------------------------------


def test_the_mlp_is_of_plain_keras_layers_with_kernels_of_their_own(
    tmp_path: Path,
) -> None:
    model = self_normalizing_mlp(64, 64, [64] * 3, rate=0.1, seed=0)
    assert all(type(layer).__module__.startswith("keras.") for layer in model.layers)
    kernels = [to_numpy(layer.kernel) for layer in model.layers[:6:2]]
    assert not np.allclose(kernels[0], kernels[1])
    model.save(tmp_path / "mlp.keras")
    loaded = keras.saving.load_model(tmp_path / "mlp.keras", safe_mode=True)
    x = normal(4, 64)
    np.testing.assert_array_equal(
        loaded.predict(x, verbose=0), model.predict(x, verbose=0)
    )


def test_the_mlp_standardizes_inputs_that_it_is_adapted_to() -> None:
    x = 40 * normal(512, 256) + 100
    model = self_normalizing_mlp(256, 64, [256] * 4, adapt_to=x, seed=0)
    assert 0.9 < model.predict(x, verbose=0).std() < 1.1


# --- Bad input -----------------------------------------------------------------------


@pytest.mark.parametrize("rate", [-0.1, 1, 1.5, float("nan")])
@pytest.mark.parametrize(
    "make",
    [
        lambda rate: SelfNormalizingDense(4, rate=rate),
        lambda rate: SelfNormalizingConv2D(4, 3, rate=rate),
        lambda rate: self_normalizing_mlp(4, 2, rate=rate),
    ],
)
def test_a_rate_outside_the_half_open_interval_is_refused(
    make: object, rate: float
) -> None:
    with pytest.raises(
        ValueError, match=r"`rate` must be in \[0, 1\)\. Received: rate"
    ):
        make(rate)


@pytest.mark.parametrize(
    "make, error, words",
    [
        (lambda: SelfNormalizingDense(0), ValueError, "`units`"),
        (lambda: SelfNormalizingDense(4, rate="0.1"), TypeError, "`rate`"),
        (lambda: SelfNormalizingDense(4, seed=1.5), TypeError, "`seed`"),
        (lambda: SelfNormalizingResidual([]), ValueError, "`branch`"),
        (lambda: SelfNormalizingResidual("dense"), TypeError, "`branch`"),
        (
            lambda: SelfNormalizingResidual(keras.layers.Dense(1), 1.0),
            ValueError,
            r"`branch_fraction` must be in \(0, 1\)",
        ),
        (
            lambda: SelfNormalizingResidual(keras.layers.Dense(1), projection=1),
            TypeError,
            "`projection`",
        ),
        (lambda: self_normalizing_mlp(0, 1), ValueError, "`num_features`"),
        (
            lambda: self_normalizing_mlp(3, 1, adapt_to=np.ones((4, 2))),
            ValueError,
            r"`adapt_to` must be an array of shape \(rows, 3\)",
        ),
        (
            lambda: self_normalizing_mlp(1, 1, adapt_to=[[np.nan]]),
            ValueError,
            "finite",
        ),
    ],
)
def test_bad_arguments_are_named(make: object, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        make()


def test_reflection_wants_inputs_of_known_and_sufficient_size() -> None:
    layer = SelfNormalizingConv2D(4, 5, padding="reflect")
    with pytest.raises(ValueError, match='Give padding="same"'):
        layer.build((None, 2, 8, 3))
    with pytest.raises(ValueError, match="unknown size"):
        layer.build((None, None, 8, 3))
