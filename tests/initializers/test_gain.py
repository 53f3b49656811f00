"""Gains, against a table, closed forms and PyTorch."""

import math

import keras
import pytest
import torch

from keras_deeptools.initializers import gain

TABLE = {
    "relu": (1.4142, 1.7129),
    "selu": (1.0, 1.0),
    "elu": (1.2452, 1.2708),
    "gelu": (1.5335, 1.7009),
    "silu": (1.6765, 1.7872),
    "mish": (1.4868, 1.5920),
    "tanh": (1.5925, 1.5925),
    "softsign": (2.3375, 2.3375),
    "sigmoid": (1.8462, 4.8013),
}
"""1 / sqrt(E f(z)^2) and 1 / std f(z), to four places."""


@pytest.mark.parametrize("name", TABLE)
def test_the_gain_is_that_of_the_table(name: str) -> None:
    # Keras' "gelu" is exact by default; the table's is too.
    assert gain(name) == pytest.approx(TABLE[name][0], abs=6e-5)
    assert gain(name, centered=True) == pytest.approx(TABLE[name][1], abs=6e-5)


@pytest.mark.parametrize("name", ["linear", "relu"])
def test_the_gain_is_torchs_where_torch_derives_it(name: str) -> None:
    assert gain(name) == pytest.approx(torch.nn.init.calculate_gain(name), rel=1e-6)


@pytest.mark.parametrize("slope", [0.01, 0.2, 1.5])
def test_the_gain_of_a_leaky_relu_is_torchs(slope: float) -> None:
    layer = keras.layers.LeakyReLU(negative_slope=slope)
    reference = torch.nn.init.calculate_gain("leaky_relu", slope)
    assert gain(layer) == pytest.approx(reference, rel=1e-6)


def test_the_gain_of_relu6_is_its_closed_form() -> None:
    phi = math.exp(-18) / math.sqrt(2 * math.pi)
    above = math.erfc(6 / math.sqrt(2)) / 2
    square = 0.5 - above - 6 * phi + 36 * above
    assert gain("relu6") == pytest.approx(square**-0.5, rel=1e-6)


@pytest.mark.parametrize("power, square", [(1, 1), (2, 3), (3, 15), (4, 105)])
def test_the_gain_of_a_power_is_the_moment_of_a_normal(power: int, square: int) -> None:
    assert gain(lambda z: z**power) == pytest.approx(square**-0.5, rel=1e-6)


def test_the_gain_of_a_function_is_that_of_its_name() -> None:
    assert gain(keras.ops.tanh) == pytest.approx(gain("tanh"), rel=1e-6)


def test_no_activation_is_linear() -> None:
    assert gain(None) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "activation",
    ["softmax", "glu", lambda z: 0 * z, lambda z: z / 0.0, "no such", 3],
    ids=["softmax", "glu", "zero", "infinite", "unknown", "number"],
)
def test_what_has_no_gain_is_an_error_by_name(activation: object) -> None:
    with pytest.raises(ValueError, match="gain: `activation` must be"):
        gain(activation)


def test_a_random_function_has_no_gain() -> None:
    dropout = keras.layers.Dropout(0.5)
    with pytest.raises(ValueError, match="element by element"):
        gain(lambda z: dropout(z, training=True))
