"""Copies of a model with another dropout rate."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_deeptools.engine._dropout.stochastic_layers import (
    stochastic_layers,
    with_dropout_rate,
)
from keras_deeptools.layers import DropBlock2D, MCDropout, StochasticDepth


def every_kind():
    inputs = keras.Input((5, 6))
    x = layers.SpatialDropout1D(0.5)(inputs)
    x = layers.MultiHeadAttention(2, 3, dropout=0.5)(x, x)
    x = layers.GroupQueryAttention(4, 2, 1, dropout=0.5)(x, x)
    x = layers.Attention(dropout=0.5)([x, x])
    x = layers.LSTM(3, dropout=0.5, recurrent_dropout=0.5)(x)
    x = layers.AlphaDropout(0.5)(x)
    nested = keras.Sequential([keras.Input((3,)), layers.GaussianDropout(0.5)])
    model = keras.Model(inputs, layers.Dense(2)(layers.Dropout(0.5)(nested(x))))
    model.compile("adam", "mse")
    return model


def rates_in(config):
    """All numbers under the names that configs give to rates."""
    if isinstance(config, dict):
        for name, value in config.items():
            if name in ("rate", "dropout", "recurrent_dropout") and value != 0:
                yield value
            yield from rates_in(value)
    if isinstance(config, list | tuple):
        for value in config:
            yield from rates_in(value)


@pytest.fixture(scope="module")
def model():
    return every_kind()


def test_every_kind_of_layer_gets_the_rate_and_the_original_keeps_its_own(model):
    copied = with_dropout_rate(model, 0.25)
    assert len(stochastic_layers(copied)) == len(stochastic_layers(model)) >= 8
    assert set(rates_in(copied.get_config())) == {0.25}
    assert set(rates_in(model.get_config())) == {0.5}
    for theirs, ours in zip(copied.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(theirs, ours)


def test_a_rate_of_zero_silences_every_kind_of_layer(model):
    copied = with_dropout_rate(model, 0.0)
    assert stochastic_layers(copied) == []
    assert set(rates_in(copied.get_config())) == set()


def test_layers_with_a_rate_of_zero_keep_it():
    model = keras.Sequential(
        [keras.Input((2,)), layers.Dropout(0.0), layers.Dropout(0.5)]
    )
    copied = with_dropout_rate(model, 0.2)
    assert [layer.rate for layer in copied.layers] == [0.0, 0.2]


@pytest.mark.one_backend
def test_stochastic_depth_keeps_its_rate():
    parts = [layers.Dropout(0.5), DropBlock2D(0.5), StochasticDepth(0.5)]
    model = keras.Sequential([keras.Input((4, 4, 2)), *parts])
    copied = with_dropout_rate(model, 0.2)
    assert [layer.rate for layer in copied.layers] == [0.2, 0.2, 0.5]


def test_the_copy_drops_at_its_rate():
    model = keras.Sequential([keras.Input((2000,)), MCDropout(0.5, seed=1)])
    outputs = with_dropout_rate(model, 0.1)(np.ones((20, 2000)), training=True)
    assert abs((keras.ops.convert_to_numpy(outputs) == 0).mean() - 0.1) < 0.01


def test_a_copy_of_a_trained_model_trains_on_as_the_model_would():
    model = keras.Sequential(
        [keras.Input((3,)), layers.Dropout(0.5), layers.Dense(1, name="out")]
    )
    metric = keras.metrics.MeanAbsoluteError()
    model.compile(keras.optimizers.Adam(0.1), loss=own_loss, metrics=[metric])
    x, y = np.ones((8, 3)), np.ones((8, 1))
    model.fit(x, y, verbose=0)
    copied = with_dropout_rate(model, 0.0)
    assert copied.evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0)
    seen = float(metric.result())
    copied.fit(x, 5 * y, epochs=2, verbose=0)
    assert float(metric.result()) == seen
    counts = [
        int(keras.ops.convert_to_numpy(each.optimizer.iterations.value))
        for each in (model, copied)
    ]
    assert counts == [1, 3]


def own_loss(y_true, y_pred):
    return keras.ops.mean(keras.ops.abs(y_true - y_pred), axis=-1)


class Unregistered(keras.Model):
    def __init__(self, size):
        super().__init__()
        self.drop = layers.Dropout(0.5)
        self.dense = layers.Dense(size)

    def call(self, inputs, training=False):
        return self.dense(self.drop(inputs, training=training))


class Dropping(layers.Layer):
    def __init__(self):
        super().__init__()
        self.drop_probability = 0.5
        self.seed_generator = keras.random.SeedGenerator(0)

    def call(self, inputs):
        return inputs


def test_a_model_that_keras_cannot_load_is_named_with_the_remedy():
    model = Unregistered(2)
    model(np.ones((1, 3)))
    with pytest.raises(ValueError, match="copied by its config.*give a function"):
        with_dropout_rate(model, 0.1)


def test_a_layer_of_which_the_rate_is_unknown_is_named():
    model = keras.Sequential([keras.Input((2,)), Dropping()])
    with pytest.raises(ValueError, match="of type Dropping. Give a function"):
        with_dropout_rate(model, 0.1)


def test_a_model_that_drops_nowhere_is_named():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    with pytest.raises(ValueError, match="must have a layer that drops"):
        with_dropout_rate(model, 0.1)


def test_a_mixed_precision_model_is_copied_with_its_loss_scale():
    keras.config.set_dtype_policy("mixed_float16")
    model = keras.Sequential(
        [keras.Input((3,)), layers.Dropout(0.5), layers.Dense(1, dtype="float32")]
    )
    model.compile("sgd", "mse")
    copied = with_dropout_rate(model, 0.1)
    assert type(copied.optimizer) is type(model.optimizer)
    assert copied.optimizer.get_config() == model.optimizer.get_config()
    assert copied.layers[0].compute_dtype == "float16"
