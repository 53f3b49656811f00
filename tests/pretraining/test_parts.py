"""The pure parts of pretraining against what defines them."""

import keras
import numpy as np
import pytest

from keras_deeptools.engine._graph.tensors import chain_of
from keras_deeptools.pretraining._autoencoder import Corruption, decoded
from keras_deeptools.pretraining._hidden_layers import CHUNK, passed_on

layers = keras.layers


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("window", [3, (1, 4)])
@pytest.mark.parametrize("stride", [1, 2, (1, 3)])
def test_the_decoder_is_the_transpose_of_the_convolution(
    padding: str, window: int | tuple, stride: int | tuple
) -> None:
    layer = layers.Conv2D(3, window, stride, padding, use_bias=False)
    x = np.random.default_rng(0).normal(size=(1, 7, 8, 2)).astype("float32")
    y = keras.ops.convert_to_numpy(layer(x))
    codes = np.random.default_rng(1).normal(size=y.shape).astype("float32")
    kernel = keras.ops.convert_to_tensor(layer.kernel)
    back = decoded(layer, codes, kernel, keras.ops.zeros(2), x.shape[1:])
    back = keras.ops.convert_to_numpy(back)
    assert back.shape == x.shape
    np.testing.assert_allclose((back * x).sum(), (codes * y).sum(), rtol=1e-4)


def test_masking_sets_the_given_fraction_to_zero_and_keeps_the_rest() -> None:
    seed = keras.random.SeedGenerator(0)
    x = np.full((100, 100), 3.0, "float32")
    noisy = keras.ops.convert_to_numpy(
        Corruption("masking", 0.3)(keras.ops.convert_to_tensor(x), seed)
    )
    assert set(np.unique(noisy)) == {0.0, 3.0}
    assert abs((noisy == 0).mean() - 0.3) < 0.02


def test_gaussian_noise_has_the_given_deviation_and_differs_by_call() -> None:
    seed = keras.random.SeedGenerator(0)
    x = keras.ops.zeros((100, 100))
    noise = [
        keras.ops.convert_to_numpy(Corruption("gaussian", 0.5)(x, seed))
        for _ in range(2)
    ]
    assert abs(noise[0].std() - 0.5) < 0.02 and abs(noise[0].mean()) < 0.02
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.05


def test_rows_are_passed_on_as_the_model_predicts_them() -> None:
    inputs = keras.Input((5,))
    x = layers.Dense(4, "tanh")(inputs * 2.0)
    x = layers.Dropout(0.5)(layers.BatchNormalization()(x))
    model = keras.Model(inputs, layers.Dense(3)(x))
    rows = np.random.default_rng(0).normal(size=(CHUNK + 44, 5))
    found = passed_on("test", chain_of(model), rows, "float32")
    expected = model.predict(rows, verbose=0)
    np.testing.assert_allclose(found, expected, atol=1e-5)
