"""Initializers on models that are not built, and on layers of every kind."""

from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_deeptools.initializers import initialize, lsuv, rebalance

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 6)).astype("float32")
IMAGES = RNG.normal(size=(8, 8, 8, 3)).astype("float32")


def values_of(model: keras.Model) -> list[np.ndarray]:
    return [ops.convert_to_numpy(weight) for weight in model.weights]


def equal(ours: keras.Model, theirs: keras.Model) -> bool:
    pairs = zip(values_of(ours), values_of(theirs), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def stack() -> list[keras.Layer]:
    return [
        layers.Conv2D(4, 3, activation="relu"),
        layers.SeparableConv2D(5, 3, activation="relu"),
        layers.Reshape((16, 5)),
        layers.LSTM(6),
        keras.Sequential([layers.Dense(5, "selu"), layers.BatchNormalization()]),
        layers.Dense(3),
    ]


def built() -> keras.Model:
    return keras.Sequential([keras.Input((8, 8, 3)), *stack()])


def by_build(model: keras.Model) -> None:
    model.build((None, 8, 8, 3))


def by_call(model: keras.Model) -> None:
    model(IMAGES)


def by_fit(model: keras.Model) -> None:
    model.compile(keras.optimizers.SGD(0.0), "mse")
    for layer in model._flatten_layers():
        if isinstance(layer, layers.BatchNormalization):
            layer.trainable = False
    model.fit(IMAGES, np.zeros((8, 3)), verbose=0)


@pytest.mark.parametrize("build", [by_build, by_call, by_fit])
def test_a_sequential_that_is_not_built_gets_the_kernels_of_one_that_is(
    build: Callable[[keras.Model], None],
) -> None:
    expected, model = built(), keras.Sequential(stack())
    initialize(expected, seed=3)
    assert len(initialize(model, seed=3).later) == 5
    build(model)
    assert equal(model, expected)


class Own(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.attention = layers.MultiHeadAttention(2, 16)
        self.hidden = layers.Dense(400, "relu", name="hidden")

    def build(self, shape: tuple) -> None:
        self.made_late = layers.Dense(300, name="late")

    def call(self, x: object) -> object:
        return self.made_late(self.hidden(self.attention(x, x)))


def test_layers_of_a_subclassed_model_are_drawn_when_they_are_built() -> None:
    model = Own()
    initialize(model, seed=0)
    model(np.ones((1, 2, 300), "float32"))
    attention = model.attention.query_dense.kernel
    assert np.std(attention) == pytest.approx(300**-0.5, rel=0.05)
    # The gain of its own activation, where no graph tells what comes before.
    assert np.std(model.hidden.kernel) == pytest.approx((2 / 300) ** 0.5, rel=0.05)
    assert np.std(model.made_late.kernel) == pytest.approx(400**-0.5, rel=0.05)


def test_the_initializers_of_the_layers_stay_as_they_are() -> None:
    model = keras.Sequential([layers.Dense(3, kernel_initializer="he_normal")])
    config = model.get_config()
    initialize(model, seed=0)
    assert model.get_config() == config
    build = type(model.layers[0]).build
    model(X)
    assert model.get_config()["layers"][-1]["config"] == config["layers"][-1]["config"]
    assert model.layers[0].build.__wrapped__.__func__ is build


def test_the_last_of_two_calls_counts() -> None:
    models = [keras.Sequential([layers.Dense(3)]) for _ in range(2)]
    initialize(models[0], seed=1)
    for model in models:
        initialize(model, seed=2)
        model(X)
    assert equal(*models)


def test_frozen_layers_and_layers_of_other_models_draw_for_themselves() -> None:
    ones = keras.initializers.Ones()
    frozen = layers.Dense(3, kernel_initializer=ones, trainable=False)
    model = keras.Sequential([frozen, layers.Dense(2)])
    initialize(model, seed=1)
    other = keras.Sequential([layers.Dense(3, kernel_initializer=ones)])
    other(X)
    model(X)
    assert (ops.convert_to_numpy(frozen.kernel) == 1).all()
    assert (ops.convert_to_numpy(other.layers[0].kernel) == 1).all()


@pytest.mark.parametrize("kind", [lsuv, rebalance])
def test_data_build_a_model_with_the_weights_that_fit_draws(kind: Callable) -> None:
    expected = []
    for scaled in (False, True):
        keras.utils.set_random_seed(4)
        model = keras.Sequential([layers.Dense(5, "tanh"), layers.Dense(1)])
        model.compile(keras.optimizers.SGD(0.0), "mse")
        if scaled:
            options = {"y": X[:, :1]} if kind is rebalance else {}
            report = kind(model, X, **options, verbose=0)
            factors = [layer.scale for layer in report.layers]
            kernels = [layer.kernel for layer in model.layers]
        else:
            model.fit(X, X[:, :1], verbose=0)
            expected = [np.array(layer.kernel) for layer in model.layers]
    for kernel, factor, theirs in zip(kernels, factors, expected, strict=True):
        np.testing.assert_allclose(np.array(kernel), factor * theirs, rtol=1e-5)


class Reconstructing(keras.Model):
    """Computes its loss itself, from the inputs alone."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = layers.Dense(3, "tanh")
        self.decoder = layers.Dense(6)

    def call(self, x: object) -> object:
        return self.decoder(self.encoder(x))

    def compute_loss(
        self,
        x: object = None,
        y: object = None,
        y_pred: object = None,
        sample_weight: object = None,
        **options: object,
    ) -> object:
        return ops.mean(ops.square(x - y_pred))


def test_a_loss_that_needs_no_targets_does_for_rebalance() -> None:
    model = Reconstructing()
    model.compile("sgd")
    report = rebalance(model, X, verbose=0, max_iterations=2)
    assert report.objective_after < report.objective_before


class Linear(layers.Layer):
    """Weights of unknown meaning."""

    def build(self, shape: tuple) -> None:
        self.w = self.add_weight(shape=(shape[-1], 4), initializer="random_normal")

    def call(self, x: object) -> object:
        return ops.matmul(x, self.w)


@pytest.mark.one_backend
def test_unknown_layers_are_left_alone_by_name() -> None:
    unknown = Linear(name="unknown")
    model = keras.Sequential([unknown, layers.Dense(3)])
    model(X)
    before = np.array(unknown.w)
    report = lsuv(model, X, verbose=0)
    assert report.exempt == {"unknown": "weights of unknown meaning"}
    initialize(model, seed=0)
    np.testing.assert_array_equal(np.array(unknown.w), before)


@pytest.mark.one_backend
def test_where_all_is_left_alone_a_warning_says_so_and_nothing_changes() -> None:
    model = keras.Sequential([Linear(name="unknown")])
    with pytest.warns(UserWarning, match="lsuv: no layer .* unknown .weights of unkn"):
        report = lsuv(model, X, verbose=0)
    assert report.layers == ()


def lora() -> keras.Model:
    model = keras.Sequential([keras.Input((6,)), layers.Dense(5), layers.Dense(2)])
    model.layers[0].enable_lora(2)
    return model


def quantized() -> keras.Model:
    model = keras.Sequential([keras.Input((6,)), layers.Dense(5), layers.Dense(2)])
    model.layers[0].quantize("int8")
    return model


def frozen() -> keras.Model:
    model = keras.Sequential([keras.Input((6,)), layers.Dense(5), layers.Dense(2)])
    model.layers[0].trainable = False
    return model


REASONS = {lora: "frozen", quantized: "quantized", frozen: "frozen"}


@pytest.mark.one_backend
@pytest.mark.parametrize("make", REASONS, ids=lambda make: make.__name__)
def test_a_kernel_that_must_stay_stays_and_the_reason_is_told(
    make: Callable[[], keras.Model],
) -> None:
    model = make()
    first = model.layers[0]
    before = [ops.convert_to_numpy(weight) for weight in first.weights]
    report = lsuv(model, X, verbose=0)
    assert report.exempt == {first.name: REASONS[make]}
    assert REASONS[make] in str(initialize(model, seed=0))
    for old, weight in zip(before, first.weights, strict=True):
        np.testing.assert_array_equal(old, ops.convert_to_numpy(weight))


def test_tied_embeddings_are_drawn_and_not_scaled() -> None:
    inputs = keras.Input((5,), dtype="int32")
    table = layers.ReversibleEmbedding(20, 4, name="table")
    outputs = table(layers.Dense(4)(table(inputs)), reverse=True)
    model = keras.Model(inputs, outputs)
    report = lsuv(model, RNG.integers(0, 20, (8, 5)), verbose=0)
    assert report.exempt == {"table": "embedding"}
    assert "table" in str(initialize(model, seed=0))


class Gan(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.critic = keras.Sequential(
            [keras.Input((6,)), layers.Dense(4, name="first"), layers.Dense(1)],
            name="critic",
        )
        self.generator = keras.Sequential(
            [keras.Input((2,)), layers.Dense(6)], name="generator"
        )

    def train_step(self, *arguments: object) -> dict:
        raise NotImplementedError


def test_networks_of_a_model_without_call_that_take_the_data_are_scaled() -> None:
    model = Gan()
    report = lsuv(model, X, verbose=0)
    assert [layer.name for layer in report.layers][0] == "critic/first"
    assert report.exempt == {"generator": "takes other inputs"}
    assert np.std(model.critic.predict(X, verbose=0)) == pytest.approx(1, abs=1e-3)
    assert len(initialize(model, seed=0).weights) == 3


# JAX computes in float32 unless it is told otherwise, and says so.
@pytest.mark.filterwarnings("ignore:Explicitly requested dtype float64")
@pytest.mark.parametrize("policy", ["float64", "bfloat16", "mixed_float16"])
def test_other_types_of_numbers_are_scaled_and_drawn(policy: str) -> None:
    keras.config.set_dtype_policy(policy)
    model = keras.Sequential([layers.Dense(5, "tanh"), layers.Dense(1)])
    initialize(model, seed=0)
    report = lsuv(model, X, verbose=0)
    assert all(abs(layer.std_after - 1) < 0.05 for layer in report.layers)
