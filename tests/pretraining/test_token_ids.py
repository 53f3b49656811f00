"""Indices of words are no amounts that could be given back, and 1D convolutions."""

import keras
import numpy as np
import pytest

from keras_deeptools.pretraining import (
    pretrain_denoising,
    pretrain_layerwise,
    pretrain_masked,
)
from keras_deeptools.pretraining._autoencoder import decoded

layers = keras.layers
IDS = np.random.default_rng(0).integers(0, 9, (32, 6))


class Tokens(layers.Layer):
    """An embedding of tokens and of their places."""

    def __init__(self) -> None:
        super().__init__(name="tokens")
        self.words = layers.Embedding(9, 4)
        self.places = layers.Embedding(6, 4)

    def call(self, ids: object) -> object:
        return self.words(ids) + self.places(keras.ops.arange(6))


def reader(first: keras.layers.Layer, dtype: str) -> keras.Model:
    stack = [layers.Flatten(), layers.Dense(5, "tanh"), layers.Dense(2, "softmax")]
    return keras.Sequential([keras.Input((6,), dtype=dtype), first, *stack])


@pytest.mark.one_backend
@pytest.mark.parametrize("dtype", ["int32", "float32"])
@pytest.mark.parametrize("own", [True, False])
def test_ids_are_not_regressed(own: bool, dtype: str) -> None:
    model = reader(Tokens() if own else layers.Embedding(9, 4), dtype)
    with pytest.raises(ValueError, match="after the embedding.*`pretrain_contrastive`"):
        pretrain_denoising(model, IDS, epochs=1)
    with pytest.raises(ValueError, match="after the embedding.*`pretrain_contrastive`"):
        pretrain_masked(model, IDS, patch_size=1, epochs=1)


@pytest.mark.alternates("padding", "strides")
@pytest.mark.parametrize("padding", ["same", "valid", "causal"])
@pytest.mark.parametrize("strides", [1, 2])
def test_1d_convolutions_are_pretrained(padding: str, strides: int) -> None:
    conv = layers.Conv1D(3, 3, strides, padding, activation="tanh", name="conv")
    head = layers.Dense(2, name="head")
    model = keras.Sequential([keras.Input((8, 2)), conv, layers.Flatten(), head])
    x = np.random.default_rng(0).normal(size=(24, 8, 2))
    before = np.array(conv.kernel)
    options: dict = {"noise": "none", "epochs": 20, "batch_size": 8, "verbose": 0}
    result = pretrain_layerwise(model, x, seed=0, **options)
    [layer] = result.layers
    assert layer.name == "conv" and layer.inputs == (8, 2)
    assert layer.history[-1] < layer.history[0]
    assert not np.allclose(np.array(conv.kernel), before)


def test_the_decoder_of_a_1d_convolution_is_its_transpose() -> None:
    draw = np.random.default_rng(0)
    for padding in ("same", "valid", "causal"):
        conv = layers.Conv1D(3, 3, 2, padding, use_bias=False)
        x = draw.normal(size=(1, 8, 2))
        y = keras.ops.convert_to_numpy(conv(x))
        kernel = keras.ops.convert_to_numpy(conv.kernel)
        codes = draw.normal(size=y.shape).astype("float32")
        given = [codes, kernel, np.zeros(2, "float32")]
        tensors = [keras.ops.convert_to_tensor(each) for each in given]
        back = decoded(conv, *tensors, shape=(8, 2))
        # Of a linear map and its transpose: <A x, c> = <x, A' c>.
        given_back = keras.ops.convert_to_numpy(keras.ops.stop_gradient(back))
        assert (y * codes).sum() == pytest.approx((x * given_back).sum(), rel=1e-3)
