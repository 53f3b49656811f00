"""Callbacks take gradients whose sizes are not known when the step is traced."""

from collections.abc import Iterator

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_deeptools import attach
from keras_deeptools.callbacks import (
    GradientClipper,
    GradientMonitor,
    MaxNormEnforcer,
    WeightAveraging,
)
from keras_deeptools.transfer import DiscriminativeLearningRates

rng = np.random.default_rng(0)
SEQUENCES = rng.normal(size=(7, 8, 4)).astype("float32")
TOKENS = rng.integers(0, 5, size=(7, 8)).astype("int32")


def sequential(*parts: object, tokens: bool = False) -> keras.Model:
    dtype = "int32" if tokens else "float32"
    inputs = keras.Input((8,), dtype=dtype) if tokens else keras.Input((8, 4))
    return keras.Sequential([inputs, *parts])


def attention() -> keras.Model:
    inputs = keras.Input((None, 4))
    x = layers.MultiHeadAttention(2, 3)(inputs, inputs)
    return keras.Model(inputs, layers.EinsumDense("abc,cd->abd", (None, 4))(x))


class Gains(keras.Layer):
    """A weight without dimensions, and one without elements."""

    def build(self, shape):
        self.gain = self.add_weight(shape=(), initializer="ones", name="gain")
        self.empty = self.add_weight(shape=(0, 3), name="empty_kernel")
        self.kernel = self.add_weight(shape=(4, 0), name="kernel")

    def call(self, inputs):
        nothing = ops.sum(self.empty) + ops.sum(ops.matmul(inputs, self.kernel))
        return inputs * self.gain + nothing


class Summed(keras.Layer):
    """The sum of the rows of a table."""

    def build(self, shape):
        self.table = layers.Embedding(6, 3)
        self.table.build(shape)

    def call(self, inputs):
        return ops.sum(self.table(inputs), axis=1)


MODELS = {
    "recurrent": lambda: sequential(
        layers.LSTM(5, return_sequences=True), layers.Dense(4)
    ),
    "attention": attention,
    "distributed": lambda: sequential(layers.TimeDistributed(layers.Dense(4))),
    "embedding": lambda: sequential(
        layers.Embedding(6, 4), layers.Dense(4), tokens=True
    ),
    "convolution": lambda: sequential(
        layers.Conv1D(4, 3, padding="same"), layers.LayerNormalization()
    ),
    "scalars": lambda: sequential(layers.Dense(4), Gains()),
}


def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    while True:
        for rows in (slice(0, 3), slice(3, 5), slice(5, 7)):
            yield SEQUENCES[rows], SEQUENCES[rows]


def data_of(model: keras.Model) -> np.ndarray:
    return TOKENS if model.inputs[0].dtype == "int32" else SEQUENCES


@pytest.mark.parametrize("kind", MODELS)
def test_a_smaller_last_batch_trains_with_all_callbacks(kind: str) -> None:
    model = MODELS[kind]()
    # Keras' Adam cannot add to a variable without elements on TensorFlow.
    adam = kind != "scalars"
    model.compile("adam" if adam else "sgd", "mse")
    monitor = GradientMonitor(on_problem="ignore")
    clipper = GradientClipper(value=0.1, norm=1e-2, global_norm=1e-2)
    enforcer = MaxNormEnforcer(1.0, axis=0 if kind == "scalars" else None)
    averaging = WeightAveraging(0.9)
    callbacks = [monitor, clipper, enforcer, averaging]
    model.fit(data_of(model), SEQUENCES, 3, 1, 0, callbacks=callbacks)
    assert len(monitor.steps) == clipper.num_updates == averaging.num_averaged == 3
    history = monitor.history
    for name in ("norm", "max_abs", "zero_fraction", "nonfinite"):
        assert np.isfinite(history[name]).all()
    assert (history["zero_fraction"] <= 1).all()
    assert (history["max_abs"] <= history["norm"] * (1 + 1e-5)).all()


def test_statistics_of_a_dense_layer_on_sequences_are_those_of_numpy() -> None:
    model = sequential(layers.Dense(4, use_bias=False))
    model.compile(keras.optimizers.SGD(0.0), "mse")
    monitor = GradientMonitor(on_problem="ignore")
    targets = np.where(SEQUENCES > 0, 1.0, 0.0).astype("float32")
    model.fit(SEQUENCES, targets, 4, 1, 0, callbacks=[monitor], shuffle=False)
    kernel = np.array(ops.convert_to_numpy(model.weights[0]), "float64")
    for row, rows in enumerate((slice(0, 4), slice(4, 7))):
        x = SEQUENCES[rows].reshape(-1, 4).astype("float64")
        y = targets[rows].reshape(-1, 4)
        gradient = 2 * x.T @ (x @ kernel - y) / y.size
        found = {name: table[row, 0] for name, table in monitor.history.items()}
        norm, largest = np.linalg.norm(gradient), np.abs(gradient).max()
        np.testing.assert_allclose(found["norm"], norm, rtol=1e-4)
        np.testing.assert_allclose(found["max_abs"], largest, rtol=1e-4)


def test_the_zeros_of_an_embedding_are_counted_over_all_its_rows() -> None:
    model = sequential(layers.Embedding(10, 4), tokens=True)
    model.compile("sgd", "mse")
    monitor = GradientMonitor(on_problem="ignore")
    tokens = np.array([[1, 1, 2, 2, 2, 3, 3, 3]] * 5)
    model.fit(tokens, SEQUENCES[:5], 3, 1, 0, callbacks=[monitor])
    np.testing.assert_allclose(monitor.history["zero_fraction"], 0.7, rtol=1e-6)


def test_batches_of_a_generator_train_with_discriminative_rates() -> None:
    model = MODELS["recurrent"]()
    optimizer = DiscriminativeLearningRates(
        keras.optimizers.AdamW(0.01),
        groups=[[x] for x in model.layers],
        multipliers=[0.1, 1.0],
    )
    model.compile(optimizer, "mse")
    monitor = GradientMonitor(on_problem="ignore")
    model.fit(
        batches(), steps_per_epoch=3, shuffle=False, verbose=0, callbacks=[monitor]
    )
    assert monitor.history["norm"].shape == (3, 5)
    assert np.isfinite(monitor.history["update_ratio"][1:]).all()


def test_batches_without_a_single_token_train() -> None:
    model = keras.Sequential([keras.Input((None,), dtype="int32"), Summed()])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    monitor = GradientMonitor(on_problem="ignore")
    clipper = GradientClipper(value=0.1, norm=0.1)
    with attach(model, monitor, clipper):
        model.train_on_batch(np.zeros((2, 0), "int32"), np.ones((2, 3)))
        model.train_on_batch(TOKENS[:2], np.ones((2, 3)))
    assert clipper.num_updates == 2
