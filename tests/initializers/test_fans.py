"""Fans, against PyTorch and by counting."""

import keras
import numpy as np
import pytest
import torch

from keras_deeptools.initializers import fans

LAYERS = {
    "dense": (
        lambda: keras.layers.Dense(7, kernel_initializer="zeros"),
        (None, 5),
        torch.nn.Linear(5, 7),
    ),
    "conv1d": (
        lambda: keras.layers.Conv1D(7, 3, kernel_initializer="zeros"),
        (None, 9, 5),
        torch.nn.Conv1d(5, 7, 3),
    ),
    "conv2d": (
        lambda: keras.layers.Conv2D(6, (3, 5), kernel_initializer="zeros"),
        (None, 9, 9, 4),
        torch.nn.Conv2d(4, 6, (3, 5)),
    ),
    "conv3d": (
        lambda: keras.layers.Conv3D(6, 3, kernel_initializer="zeros"),
        (None, 9, 9, 9, 4),
        torch.nn.Conv3d(4, 6, 3),
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_the_fans_of_a_layer_are_torchs(name: str) -> None:
    make, shape, reference = LAYERS[name]
    layer = make()
    layer.build(shape)
    theirs = torch.nn.init._calculate_fan_in_and_fan_out(reference.weight)
    assert fans(tuple(layer.kernel.shape), layer) == theirs


def uses(layer: keras.Layer, shape: tuple[int, ...]) -> tuple[float, float]:
    """Mean numbers of inputs for an interior output and of outputs for an input.

    The kernel is of ones: an output of an input of ones counts what it sums over; the
    total of the outputs, per input, counts the uses.
    """
    y = keras.ops.convert_to_numpy(layer(np.ones((1, *shape), "float32")))
    middle = y[:, 8:-8, 8:-8]
    return float(middle.mean()), float(y.sum() / np.prod(shape))


@pytest.mark.parametrize(
    "make",
    [
        lambda: keras.layers.Conv2D(8, 3, kernel_initializer="ones", use_bias=False),
        lambda: keras.layers.Conv2D(
            8, 3, groups=4, kernel_initializer="ones", use_bias=False
        ),
        lambda: keras.layers.Conv2D(8, 4, 2, kernel_initializer="ones", use_bias=False),
        lambda: keras.layers.DepthwiseConv2D(
            3, depth_multiplier=2, depthwise_initializer="ones", use_bias=False
        ),
        lambda: keras.layers.Conv2DTranspose(
            8, 4, 2, kernel_initializer="ones", use_bias=False
        ),
        lambda: keras.layers.Conv2DTranspose(
            8, 3, 2, kernel_initializer="ones", use_bias=False
        ),
    ],
    ids=["conv", "grouped", "strided", "depthwise", "transposed", "uneven transposed"],
)
def test_the_fans_of_a_convolution_are_what_a_kernel_of_ones_counts(
    make: object,
) -> None:
    layer = make()
    counted = uses(layer, (64, 64, 4))
    kernel = layer.trainable_variables[0]
    role = "depthwise_kernel" if "depthwise" in layer.name else "kernel"
    fan_in, fan_out = fans(tuple(kernel.shape), layer, role=role)
    assert fan_in == pytest.approx(counted[0], rel=0.01)
    assert fan_out == pytest.approx(counted[1], rel=0.1)  # windows miss some edges


def test_the_gates_of_an_lstm_are_counted_apart() -> None:
    layer = keras.layers.LSTM(16)
    layer.build((None, None, 8))
    assert fans(tuple(layer.cell.kernel.shape), layer) == (8, 16)


def test_the_fans_of_an_einsum_are_read_from_its_equation() -> None:
    layer = keras.layers.EinsumDense("abcd,cde->abe", (None, 7))
    layer.build((None, 3, 4, 5))
    assert fans(tuple(layer.kernel.shape), layer) == (20, 7)


def test_a_shared_axis_of_an_einsum_is_in_no_fan() -> None:
    layer = keras.layers.EinsumDense("abc,bcd->abd", (6, 7))
    layer.build((None, 6, 5))
    assert fans(tuple(layer.kernel.shape), layer) == (5, 7)


def test_a_layer_of_no_known_kind_is_an_error() -> None:
    with pytest.raises(ValueError, match="fans: `layer` must be one of dense, conv"):
        fans((3, 3), keras.layers.Flatten())
