"""What layers were adapted to is in every copy of a model."""

from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest

from keras_deeptools.engine._dropout.stochastic_layers import with_dropout_rate
from keras_deeptools.engine._state.adapted_state import json_with_adapted_state
from keras_deeptools.transfer import reuse_layers
from keras_deeptools.tuning import DeepHyperModel
from keras_deeptools.tuning._transfer.pooled_features import copied

layers = keras.layers
X = np.random.default_rng(0).normal(50, 7, (32, 3)).astype("float32")
WORDS = ["sun moon sun", "moon star"]


class Shift(layers.Layer):
    """A layer of the user's that is adapted."""

    def build(self, shape: Any) -> None:
        self.mean = self.add_weight(shape=shape[-1:], trainable=False)

    def adapt(self, x: np.ndarray) -> None:
        self.build(x.shape)
        self.mean.assign(x.mean(axis=0))

    def call(self, x: Any) -> Any:
        return x - self.mean


def adapted(kind: Any = layers.Normalization, nested: bool = False) -> keras.Model:
    """A model whose first layer is adapted."""
    first = kind()
    first.adapt(X)
    stack = [keras.Input((3,)), first, layers.Dropout(0.5), layers.Dense(2)]
    if nested:
        inner = keras.Sequential([keras.Input((3,)), first])
        stack = [keras.Input((3,)), inner, *stack[2:]]
    model = keras.Sequential(stack)
    model.compile("sgd", "mse")
    return model


def received(model: keras.Model) -> np.ndarray:
    """What the layers after the first get."""
    first = next(it for it in model.layers if not isinstance(it, layers.InputLayer))
    return np.asarray(keras.ops.convert_to_numpy(first(X)))


def of_a_trial(model: keras.Model) -> keras.Model:
    hypermodel = DeepHyperModel(model, max_epochs=1, parts=["optimizer"])
    return hypermodel.build(keras_tuner.HyperParameters())


COPIES = {
    "trial": of_a_trial,
    "dropout rate": lambda model: with_dropout_rate(model, 0.1),
    "trunk": copied,
    "reuse_layers": lambda model: reuse_layers(model, num_layers=1),
}


@pytest.mark.alternates("way", "kind")
@pytest.mark.parametrize("kind", [layers.Normalization, Shift])
@pytest.mark.parametrize("way", COPIES)
def test_a_copy_gives_what_the_model_gives(way: str, kind: Any) -> None:
    if kind is Shift and way == "dropout rate":
        keras.saving.register_keras_serializable("tests_adapted")(Shift)
    model = adapted(kind)
    expected = received(model)
    assert abs(expected.mean()) < 1e-4
    np.testing.assert_allclose(received(COPIES[way](model)), expected, atol=1e-5)


def test_a_copy_of_a_nested_model_is_adapted_too() -> None:
    model = adapted(nested=True)
    np.testing.assert_allclose(received(of_a_trial(model)), received(model), atol=1e-5)


def test_a_model_without_an_input_is_copied_adapted() -> None:
    normalize = layers.Normalization()
    normalize.adapt(X)
    model = keras.Sequential([normalize, layers.Dense(2)])
    model.compile("sgd", "mse")
    assert abs(received(of_a_trial(model)).mean()) < 1e-4


@pytest.mark.parametrize("mode", ["int", "tf_idf"])
def test_a_copy_has_the_vocabulary(mode: str) -> None:
    words = layers.TextVectorization(output_mode=mode)
    words.adapt(WORDS)
    expected = np.asarray(words(["moon sun sun"]))
    twin = copied(keras.Sequential([keras.Input((), dtype="string"), words]))
    np.testing.assert_allclose(np.asarray(twin.layers[0](["moon sun sun"])), expected)


@pytest.mark.parametrize("nested", [False, True])
def test_the_json_of_a_model_holds_the_statistics(nested: bool) -> None:
    model = adapted(nested=nested)
    again = keras.models.model_from_json(json_with_adapted_state(model))
    np.testing.assert_allclose(received(again), received(model), atol=1e-5)


@pytest.mark.parametrize("mode", ["int", "tf_idf"])
def test_the_json_of_a_model_holds_the_vocabulary(mode: str) -> None:
    words = layers.TextVectorization(output_mode=mode)
    words.adapt(WORDS)
    expected = np.asarray(words(["moon sun sun"]))
    model = keras.Sequential([keras.Input((), dtype="string"), words])
    again = keras.models.model_from_json(json_with_adapted_state(model))
    np.testing.assert_allclose(np.asarray(again.layers[0](["moon sun sun"])), expected)
