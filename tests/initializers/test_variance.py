"""The real variance of every kind of layer, with inputs N(0, 1)."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from keras_deeptools.initializers import gain, initializer_for

layers = keras.layers
SEEDS = range(12)
TARGET = gain("relu") ** 2


def made(layer: Any, seed: int, distribution: str, **settings: Any) -> Any:
    return initializer_for(
        "relu", layer, seed=seed, distribution=distribution, **settings
    )


def linear(layer: Any, seed: int, distribution: str, role: str) -> Any:
    return initializer_for(None, layer, role=role, seed=seed, distribution=distribution)


Make = Callable[[int, str], keras.Layer]

LAYERS: dict[str, tuple[tuple[int, ...], Make]] = {
    "Dense": (
        (64, 40),
        lambda s, d: layers.Dense(96, kernel_initializer=made("dense", s, d)),
    ),
    "Dense that narrows": (
        (64, 96),
        lambda s, d: layers.Dense(40, kernel_initializer=made("dense", s, d)),
    ),
    "Conv1D": (
        (16, 20, 12),
        lambda s, d: layers.Conv1D(
            32, 3, padding="same", kernel_initializer=made("conv", s, d)
        ),
    ),
    "Conv2D": (
        (8, 10, 10, 12),
        lambda s, d: layers.Conv2D(
            32, 3, padding="same", kernel_initializer=made("conv", s, d)
        ),
    ),
    "Conv2D with strides": (
        (8, 13, 13, 12),
        lambda s, d: layers.Conv2D(
            32, 3, 2, kernel_initializer=made("conv", s, d, strides=2)
        ),
    ),
    "Conv3D": (
        (4, 6, 6, 6, 8),
        lambda s, d: layers.Conv3D(
            24, 3, padding="same", kernel_initializer=made("conv", s, d)
        ),
    ),
    "Conv2D in groups": (
        (8, 10, 10, 32),
        lambda s, d: layers.Conv2D(
            32, 3, groups=4, kernel_initializer=made("conv", s, d, groups=4)
        ),
    ),
    "DepthwiseConv1D": (
        (16, 20, 96),
        lambda s, d: layers.DepthwiseConv1D(
            5, depthwise_initializer=made("depthwise_conv", s, d)
        ),
    ),
    "DepthwiseConv2D": (
        (8, 10, 10, 64),
        lambda s, d: layers.DepthwiseConv2D(
            3,
            depth_multiplier=2,
            padding="same",
            depthwise_initializer=made("depthwise_conv", s, d),
        ),
    ),
    "SeparableConv1D": (
        (16, 20, 48),
        lambda s, d: layers.SeparableConv1D(
            48,
            5,
            depthwise_initializer=made("separable_conv", s, d, role="depthwise_kernel"),
            pointwise_initializer=linear("separable_conv", s, d, "pointwise_kernel"),
        ),
    ),
    "SeparableConv2D": (
        (8, 10, 10, 48),
        lambda s, d: layers.SeparableConv2D(
            48,
            3,
            depthwise_initializer=made("separable_conv", s, d, role="depthwise_kernel"),
            pointwise_initializer=linear("separable_conv", s, d, "pointwise_kernel"),
        ),
    ),
    "Conv1DTranspose": (
        (8, 20, 16),
        lambda s, d: layers.Conv1DTranspose(
            32, 4, 2, kernel_initializer=made("conv_transpose", s, d, strides=2)
        ),
    ),
    "Conv2DTranspose": (
        (4, 10, 10, 24),
        lambda s, d: layers.Conv2DTranspose(
            12, 3, 2, kernel_initializer=made("conv_transpose", s, d, strides=2)
        ),
    ),
    "Conv3DTranspose": (
        (2, 6, 6, 6, 8),
        lambda s, d: layers.Conv3DTranspose(
            16, 2, 2, kernel_initializer=made("conv_transpose", s, d, strides=2)
        ),
    ),
    "EinsumDense": (
        (16, 10, 32),
        lambda s, d: layers.EinsumDense(
            "abc,cde->abde", (None, 4, 8), kernel_initializer=made("attention", s, d)
        ),
    ),
    "EinsumDense over two axes": (
        (16, 10, 4, 8),
        lambda s, d: layers.EinsumDense(
            "abcd,cde->abe", (None, 40), kernel_initializer=made("attention", s, d)
        ),
    ),
}
DISTRIBUTIONS = ("truncated_normal", "untruncated_normal", "uniform", "orthogonal")
EXCEPT = {"orthogonal": {}}


def interior(y: np.ndarray) -> np.ndarray:
    """Without two pixels at each edge, where a window hangs over it."""
    spatial = y.ndim - 2
    return y[(slice(None), *[slice(2, -2)] * spatial)] if spatial > 1 else y


def inside(name: str, y: np.ndarray) -> np.ndarray:
    return interior(y) if "Conv" in name and y.shape[1] > 5 else y


def measured_variance(name: str, distribution: str) -> float:
    """Mean over seeds of the second moment of the layer's outputs."""
    shape, make = LAYERS[name]
    squares = []
    for seed in SEEDS:
        x = np.random.default_rng(seed).normal(size=shape).astype("float32")
        y = inside(name, keras.ops.convert_to_numpy(make(seed, distribution)(x)))
        squares.append(np.mean(np.square(y)))
    return float(np.mean(squares))


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_has_the_variance_that_it_was_made_for(name: str) -> None:
    assert measured_variance(name, "truncated_normal") == pytest.approx(
        TARGET, rel=0.05
    )


@pytest.mark.parametrize("distribution", DISTRIBUTIONS[1:])
@pytest.mark.parametrize("name", ["Dense", "Conv2D in groups", "DepthwiseConv2D"])
def test_the_variance_is_the_same_for_every_distribution(
    name: str, distribution: str
) -> None:
    assert measured_variance(name, distribution) == pytest.approx(TARGET, rel=0.05)


@pytest.mark.parametrize("kind, gates", [("simple_rnn", 1), ("gru", 3), ("lstm", 4)])
def test_every_gate_of_a_recurrent_layer_has_the_variance(
    kind: str, gates: int
) -> None:
    cls = {"simple_rnn": layers.SimpleRNN, "gru": layers.GRU, "lstm": layers.LSTM}
    squares = []
    for seed in SEEDS:
        rnn = cls[kind](
            32,
            kernel_initializer=initializer_for("relu", kind, seed=seed),
            recurrent_initializer=initializer_for(
                "relu",
                kind,
                role="recurrent_kernel",
                distribution="orthogonal",
                seed=seed,
            ),
        )
        rnn.build((None, None, 24))
        rng = np.random.default_rng(seed)
        for kernel in (rnn.cell.kernel, rnn.cell.recurrent_kernel):
            x = rng.normal(size=(256, kernel.shape[0]))
            z = x @ keras.ops.convert_to_numpy(kernel)
            squares.append((z**2).reshape(256, gates, 32).mean(axis=(0, 2)))
    inputs, state = np.mean(squares[::2], axis=0), np.mean(squares[1::2], axis=0)
    assert inputs == pytest.approx(np.full(gates, TARGET), rel=0.05)
    assert state == pytest.approx(np.full(gates, TARGET), rel=0.05)


def test_every_projection_of_an_attention_layer_has_the_variance() -> None:
    squares: dict[str, list[float]] = {}
    for seed in SEEDS:
        attention = layers.MultiHeadAttention(
            4, 8, kernel_initializer=initializer_for("relu", "attention", seed=seed)
        )
        attention.build((None, 10, 32), (None, 10, 32))
        rng = np.random.default_rng(seed)
        for dense in (attention.query_dense, attention.output_dense):
            kernel = keras.ops.convert_to_numpy(dense.kernel)
            num_summed = 1 if dense is attention.query_dense else 2
            matrix = kernel.reshape(int(np.prod(kernel.shape[:num_summed])), -1)
            z = rng.normal(size=(256, len(matrix))) @ matrix
            squares.setdefault(dense.name, []).append(np.mean(z**2))
    means = {name: np.mean(values) for name, values in squares.items()}
    assert means == pytest.approx({"query": TARGET, "attention_output": TARGET}, 0.05)


def test_a_convolutional_lstm_has_the_variance() -> None:
    squares = []
    for seed in SEEDS:
        init = initializer_for("relu", "conv_lstm", seed=seed)
        rnn = layers.ConvLSTM2D(8, 3, padding="same", kernel_initializer=init)
        rnn.build((None, 2, 10, 10, 12))
        x = np.random.default_rng(seed).normal(size=(8, 10, 10, 12)).astype("float32")
        z = keras.ops.convert_to_numpy(keras.ops.conv(x, rnn.cell.kernel))
        squares.append(np.mean(z**2))
    assert np.mean(squares) == pytest.approx(TARGET, rel=0.05)


def test_an_embedding_has_variance_one_for_each_token() -> None:
    init = initializer_for(None, "embedding", seed=0)
    vectors = layers.Embedding(100, 64, embeddings_initializer=init)(np.arange(100))
    assert np.var(keras.ops.convert_to_numpy(vectors)) == pytest.approx(1, rel=0.05)


@pytest.mark.parametrize("name", ["dense", "conv", "grouped", "strided", "depthwise"])
def test_fan_out_keeps_the_variance_of_gradients(name: str) -> None:
    """The gradient to the inputs is `W^T`: the layer transposed, as numpy sees it."""
    shape, strides, groups, kind = {
        "dense": ((24, 48), 1, 1, "dense"),
        "conv": ((3, 3, 16, 32), 1, 1, "conv"),
        "grouped": ((3, 3, 8, 32), 1, 4, "conv"),
        "strided": ((4, 4, 16, 32), 2, 1, "conv"),
        "depthwise": ((3, 3, 48, 2), 1, 1, "depthwise_conv"),
    }[name]
    # Each input meets window / strides positions, times the outputs of its group.
    uses = {"dense": 48, "conv": 288, "grouped": 72, "strided": 128, "depthwise": 18}
    init = initializer_for(
        "relu", kind, mode="fan_out", strides=strides, groups=groups, seed=0
    )
    kernel = keras.ops.convert_to_numpy(init(shape))
    assert np.var(kernel) * uses[name] == pytest.approx(2, rel=0.1)
