"""Monte Carlo prediction of models of every kind, and of data of every kind."""

from typing import Any

import keras
import numpy as np
import pytest

from keras_deeptools import layers
from keras_deeptools.engine._dropout.monte_carlo_pass import stochastic_pass
from keras_deeptools.uncertainty import MCPrediction, mc_predict

SEQUENCES = np.random.default_rng(0).normal(size=(10, 6, 4)).astype("float32")
VECTORS = SEQUENCES[:, 0]


def functional(function: Any, shape: tuple[int, ...] = (6, 4)) -> keras.Model:
    inputs = keras.Input(shape)
    return keras.Model(inputs, function(inputs))


def attention() -> keras.Model:
    attend = keras.layers.MultiHeadAttention(2, 4, dropout=0.3)
    return functional(lambda x: attend(x, x))


def plain_attention() -> keras.Model:
    return functional(lambda x: keras.layers.Attention(dropout=0.3)([x, x]))


def bidirectional() -> keras.Model:
    return functional(keras.layers.Bidirectional(keras.layers.LSTM(3, dropout=0.3)))


def recurrent_dropout() -> keras.Model:
    return functional(keras.layers.GRU(3, recurrent_dropout=0.3))


def stacked_cells() -> keras.Model:
    cells = [keras.layers.LSTMCell(3, dropout=0.3), keras.layers.SimpleRNNCell(2)]
    return functional(keras.layers.RNN(keras.layers.StackedRNNCells(cells)))


def over_time() -> keras.Model:
    return functional(keras.layers.TimeDistributed(keras.layers.Dropout(0.3)))


def shared_mask() -> keras.Model:
    return functional(keras.layers.Dropout(0.3, noise_shape=(1, None, 4)))


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.first = keras.layers.Dense(8, "relu")
        self.norm = keras.layers.BatchNormalization()
        self.noise = keras.layers.GaussianNoise(1.0)
        self.drop = layers.MCDropout(0.4)
        self.last = keras.layers.Dense(3)

    def call(self, x: Any, training: bool | None = None) -> Any:
        x = self.norm(self.first(x), training=training)
        return self.last(self.drop(self.noise(x), training=training))


def subclassed() -> keras.Model:
    model = Subclassed()
    model(SEQUENCES)
    return model


class AlwaysOn(keras.layers.Dropout):
    """The recipe that is often found: it ignores `training`."""

    def call(self, inputs: Any) -> Any:
        return super().call(inputs, training=True)


def always_on() -> keras.Model:
    return functional(AlwaysOn(0.3))


class OwnDropout(keras.Layer):
    def __init__(self, drop_rate: float) -> None:
        super().__init__()
        self.drop_rate = drop_rate
        self.generator = keras.random.SeedGenerator(3)
        self.norm = keras.layers.BatchNormalization()

    def build(self, shape: tuple) -> None:
        self.norm.build(shape)

    def call(self, x: Any, training: bool = False) -> Any:
        x = self.norm(x, training=training)
        if training:
            x = keras.random.dropout(x, self.drop_rate, seed=self.generator)
        return x


def own_layer() -> keras.Model:
    return functional(OwnDropout(0.3))


KINDS = [
    attention,
    plain_attention,
    bidirectional,
    recurrent_dropout,
    stacked_cells,
    over_time,
    shared_mask,
    subclassed,
    always_on,
    own_layer,
]
kinds = pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)


def predict(model: keras.Model, x: Any, **options: Any) -> MCPrediction:
    options = {"num_samples": 20, "seed": 1, "verbose": 0} | options
    return mc_predict(model, x, **options)


def values_of(model: keras.Model) -> list[np.ndarray]:
    return [np.array(keras.ops.convert_to_numpy(v)) for v in model.variables]


@pytest.mark.alternates("make")
@kinds
def test_a_model_of_any_kind_is_sampled_and_keeps_its_state(make: Any) -> None:
    model = make()
    before = values_of(model)
    found = predict(model, SEQUENCES)
    assert found.std.mean() > 1e-3
    for one, other in zip(values_of(model), before, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.alternates("make")
@pytest.mark.parametrize(
    "make", [attention, stacked_cells, subclassed], ids=lambda make: make.__name__
)
def test_a_model_is_sampled_alike_in_batches_of_any_size(make: Any) -> None:
    model = make()
    found, small = (predict(model, SEQUENCES, batch_size=size) for size in (32, 4))
    np.testing.assert_allclose(small.mean, found.mean, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [attention, bidirectional], ids=lambda m: m.__name__)
def test_coherent_masks_make_equal_rows_equal(make: Any) -> None:
    same = np.repeat(SEQUENCES[:1], 5, axis=0)
    found = predict(make(), same, masks="coherent", return_samples=True).samples
    np.testing.assert_allclose(found, found[:, :1].repeat(5, axis=1), rtol=1e-4)
    assert found.std(axis=0).mean() > 1e-3


def test_dropout_in_a_recurrent_layer_has_the_spread_of_the_loop() -> None:
    model = functional(keras.layers.SimpleRNN(3, activation="linear", dropout=0.3))
    found = predict(model, SEQUENCES[:4], num_samples=4000)
    copies = np.repeat(SEQUENCES[:4], 4000, axis=0)
    loop = keras.ops.convert_to_numpy(model(copies, training=True))
    loop = loop.reshape(4, 4000, 3)
    error = np.sqrt(2 / 4000) * loop.std(axis=1)
    assert (np.abs(found.mean - loop.mean(axis=1)) < 5 * error).all()
    assert abs(found.std.mean() / loop.std(axis=1).mean() - 1) < 0.03


def test_a_mask_that_the_batch_shares_is_one_for_each_sample() -> None:
    same = np.ones((5, 6, 4), "float32")
    found = predict(shared_mask(), same, return_samples=True).samples
    assert (np.ptp(found, axis=1) == 0).all()
    assert len(np.unique(found[:, 0].reshape(20, -1), axis=0)) > 15


class DroppedWeights(keras.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.drop_rate = 0.5
        self.generator = keras.random.SeedGenerator(3)

    def build(self, shape: tuple) -> None:
        self.kernel = self.add_weight(shape=(shape[-1], 3), initializer="ones")

    def call(self, x: Any, training: bool = False) -> Any:
        kernel = self.kernel
        if training:
            kernel = keras.random.dropout(kernel, self.drop_rate, seed=self.generator)
        return keras.ops.matmul(x, kernel)


def test_dropping_weights_takes_other_weights_for_each_sample() -> None:
    model = functional(DroppedWeights(), (4,))
    found = predict(model, VECTORS, num_samples=400)
    np.testing.assert_allclose(
        found.std, np.sqrt(np.square(VECTORS).sum(axis=1))[:, None].repeat(3, 1), 0.2
    )
    small = predict(model, VECTORS, num_samples=400, batch_size=2)
    np.testing.assert_allclose(small.mean, found.mean, rtol=1e-4, atol=1e-5)


# --- Graphs --------------------------------------------------------------------------


def test_masked_steps_stay_masked_after_the_cut() -> None:
    tokens = np.array([[1, 2, 0, 0], [3, 0, 0, 0]])
    inputs = keras.Input((4,))
    x = keras.layers.Embedding(5, 3, mask_zero=True)(inputs)
    x = keras.layers.Dropout(1e-6)(x)
    model = keras.Model(inputs, keras.layers.LSTM(2)(x))
    expected = model.predict(tokens, verbose=0)
    np.testing.assert_allclose(predict(model, tokens).mean, expected, rtol=1e-5)


def test_outputs_before_any_dropout_do_not_vary() -> None:
    inputs = {"a": keras.Input((4,), name="a"), "b": keras.Input((4,), name="b")}
    shared = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(5), keras.layers.Dropout(0.5)]
    )
    plain = keras.layers.Dense(4)(inputs["a"])
    both = keras.layers.Add()([shared(plain), shared(inputs["b"])])
    model = keras.Model(inputs, {"both": both, "plain": plain})
    found = predict(model, {"a": VECTORS, "b": SEQUENCES[:, 1]})
    assert set(found.mean) == {"both", "plain"}
    assert found.std["plain"].max() == 0
    assert found.std["both"].min() > 0


def test_a_shared_layer_draws_anew_at_every_use() -> None:
    drop = keras.layers.Dropout(0.5)
    model = functional(lambda x: keras.layers.Subtract()([drop(x), drop(x)]))
    assert predict(model, SEQUENCES).std.min() > 0


def test_the_trunk_of_a_nested_model_runs_once_per_batch() -> None:
    calls = []

    class Counted(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            calls.append(x.shape)
            return x

    backbone = keras.Sequential(
        [keras.Input((4,)), Counted(), keras.layers.Dropout(0.5)]
    )
    model = keras.Sequential([keras.Input((4,)), backbone, keras.layers.Dense(2)])
    calls.clear()
    predict(model, VECTORS)
    assert len(calls) == 1
    assert calls[0][0] in (10, 16)


def test_a_functional_graph_is_split_and_a_subclassed_model_is_not() -> None:
    assert stochastic_pass(attention()).is_split
    assert not stochastic_pass(subclassed()).is_split


def test_our_layers_and_their_twins_give_the_same_samples() -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.AlphaDropout(0.3)])
    twin = keras.Sequential([keras.Input((4,)), layers.MCAlphaDropout(0.3)])
    found, expected = (predict(each, VECTORS).mean for each in (model, twin))
    np.testing.assert_array_equal(found, expected)


def test_mixed_precision_gives_finite_statistics() -> None:
    keras.config.set_dtype_policy("mixed_float16")
    stack = [keras.layers.Dense(8), layers.MCDropout(0.3), keras.layers.Dense(2)]
    stack += [keras.layers.Softmax()]
    model = keras.Sequential([keras.Input((4,)), *stack])
    found = predict(model, VECTORS, num_samples=200)
    np.testing.assert_allclose(found.mean.sum(axis=1), 1, atol=2e-3)
    assert np.isfinite(found.mutual_information).all()


# --- Data ----------------------------------------------------------------------------


class Rows(keras.utils.PyDataset):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        rows = VECTORS[3 * index : 3 * index + 3]
        return rows, np.zeros(len(rows))


def dataset() -> Any:
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((VECTORS, np.zeros(10))).batch(4)


SOURCES = {
    "tensor": lambda: keras.ops.convert_to_tensor(VECTORS),
    "double": lambda: VECTORS.astype("float64"),
    "PyDataset": Rows,
    "tf.data": dataset,
    "generator": lambda: ((VECTORS[i : i + 3],) for i in range(0, 10, 3)),
}


@pytest.fixture(scope="module")
def drop() -> keras.Model:
    return keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5)])


@pytest.mark.alternates("source")
@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
def test_data_of_every_kind_give_the_same_samples(
    drop: keras.Model, source: Any
) -> None:
    expected = predict(drop, VECTORS).mean
    np.testing.assert_array_equal(predict(drop, source()).mean, expected)
