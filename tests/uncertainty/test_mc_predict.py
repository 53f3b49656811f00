"""Monte Carlo prediction: what it computes, and that it leaves everything alone."""

import gc
import random
import tracemalloc
import weakref
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest

from keras_deeptools import layers
from keras_deeptools.uncertainty import mc_predict

X = np.random.default_rng(0).normal(size=(70, 8)).astype("float32")


def dense(units: int, activation: str | None = None) -> keras.layers.Dense:
    return keras.layers.Dense(units, activation)


@pytest.fixture(scope="module")
def classifier() -> keras.Model:
    keras.utils.set_random_seed(0)
    stack = [
        dense(16, "relu"),
        keras.layers.BatchNormalization(),
        keras.layers.GaussianNoise(1.0),
        keras.layers.Dropout(0.5, seed=1),
        dense(16, "relu"),
        layers.MCDropout(0.3, seed=1),
        dense(3, "softmax"),
    ]
    model = keras.Sequential([keras.Input((8,)), *stack])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


@pytest.fixture(scope="module")
def masks_model() -> keras.Model:
    """Outputs the masks of two layers that were given the same seed."""
    inputs = keras.Input((6,))
    outputs = [layers.MCDropout(0.5, seed=3)(inputs) for _ in range(2)]
    return keras.Model(inputs, outputs)


def masks_of(model: keras.Model, rows: int = 70, **options: Any) -> list[np.ndarray]:
    ones = np.ones((rows, 6), "float32")
    options = {"num_samples": 40, "seed": 5, "verbose": 0} | options
    return mc_predict(model, ones, return_samples=True, **options).samples


def values_of(model: keras.Model) -> list[np.ndarray]:
    variables = [*model.variables, *model.metrics_variables]
    variables += model.optimizer.variables
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


# --- What is drawn -------------------------------------------------------------------


def test_mean_and_variance_are_those_of_the_closed_form() -> None:
    model = keras.Sequential(
        [keras.Input((8,)), keras.layers.Dropout(0.2), keras.layers.Dense(1)]
    )
    found = mc_predict(model, X, 20_000, seed=0, verbose=0)
    weights = model.get_weights()[0]
    variance = 0.2 / 0.8 * np.square(X) @ np.square(weights)
    error = np.sqrt(variance / 20_000)
    assert (np.abs(found.mean - X @ weights) < 5 * error + 1e-5).all()
    np.testing.assert_allclose(found.std, np.sqrt(variance), rtol=0.03)
    np.testing.assert_allclose(found.standard_error, error, rtol=0.03)


def test_the_distribution_is_that_of_a_network_with_dropout_in_numpy() -> None:
    stack = [dense(32, "relu"), keras.layers.Dropout(0.4), dense(16, "relu")]
    stack += [keras.layers.Dropout(0.1), dense(2)]
    model = keras.Sequential([keras.Input((8,)), *stack])
    found = mc_predict(model, X[:8], 4000, seed=0, verbose=0)
    w1, b1, w2, b2, w3, b3 = model.get_weights()
    draw = np.random.default_rng(1)
    h = np.broadcast_to(np.maximum(X[:8] @ w1 + b1, 0), (4000, 8, 32))
    h = h * (draw.random(h.shape) >= 0.4) / 0.6
    h = np.maximum(h @ w2 + b2, 0)
    h = h * (draw.random(h.shape) >= 0.1) / 0.9
    samples = h @ w3 + b3
    error = np.sqrt(2 / 4000) * samples.std(axis=0)
    assert (np.abs(found.mean - samples.mean(axis=0)) < 5 * error).all()
    ratio = found.std.mean() / samples.std(axis=0).mean()
    assert abs(ratio - 1) < 0.02


@pytest.mark.alternates("batch_size")
@pytest.mark.parametrize("batch_size", [1, 12, 1000])
def test_masks_do_not_depend_on_the_batch_size(
    masks_model: keras.Model, batch_size: int
) -> None:
    expected = masks_of(masks_model, num_samples=7)
    found = masks_of(masks_model, num_samples=7, batch_size=batch_size)
    np.testing.assert_array_equal(found, expected)


def test_masks_do_not_depend_on_how_many_rows_follow(masks_model: keras.Model) -> None:
    few, many = masks_of(masks_model, rows=5), masks_of(masks_model)
    np.testing.assert_array_equal(few[0], many[0][:, :5])


def test_one_seed_gives_each_layer_masks_of_its_own(masks_model: keras.Model) -> None:
    first, second = masks_of(masks_model)
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.03


def test_masks_of_rows_samples_and_units_are_independent(
    masks_model: keras.Model,
) -> None:
    masks = masks_of(masks_model, num_samples=200)[0] - 1
    count = masks.size
    for axis in range(3):
        for lag in (1, 2):
            product = masks * np.roll(masks, lag, axis)
            assert abs(product.mean()) < 5 / np.sqrt(count)


def test_coherent_masks_are_shared_by_all_rows(masks_model: keras.Model) -> None:
    masks = masks_of(masks_model, masks="coherent", num_samples=100)[0]
    assert (np.ptp(masks, axis=1) == 0).all()
    assert abs(masks.mean() - 1) < 0.2
    assert len(np.unique(masks[:, 0], axis=0)) > 40


@pytest.mark.alternates("masks")
@pytest.mark.parametrize("masks", ["independent", "coherent"])
def test_the_same_seed_gives_the_same_bits(classifier: keras.Model, masks: str) -> None:
    first, second = (
        mc_predict(classifier, X, 50, seed=9, masks=masks, verbose=0) for _ in range(2)
    )
    np.testing.assert_array_equal(first.mean, second.mean)
    np.testing.assert_array_equal(first.std, second.std)


@pytest.mark.one_backend
def test_without_a_seed_the_result_tells_the_one_that_was_taken(
    classifier: keras.Model,
) -> None:
    first, second = (mc_predict(classifier, X, 10, verbose=0) for _ in range(2))
    assert first.seed != second.seed
    again = mc_predict(classifier, X, 10, seed=first.seed, verbose=0)
    np.testing.assert_array_equal(again.mean, first.mean)


def test_the_samples_are_those_that_the_statistics_are_of(
    classifier: keras.Model,
) -> None:
    found = mc_predict(classifier, X, 50, seed=0, return_samples=True, verbose=0)
    plain = mc_predict(classifier, X, 50, seed=0, verbose=0)
    assert found.samples.shape == (50, 70, 3)
    np.testing.assert_allclose(found.samples.mean(axis=0), plain.mean, rtol=1e-5)
    np.testing.assert_allclose(found.samples.std(axis=0, ddof=1), plain.std, rtol=1e-4)


def test_noise_and_batch_normalization_are_in_inference() -> None:
    stack = [keras.layers.BatchNormalization(), keras.layers.GaussianNoise(1.0)]
    stack += [keras.layers.Dropout(1e-6)]
    model = keras.Sequential([keras.Input((8,)), *stack])
    found = mc_predict(model, X, 5, seed=0, verbose=0)
    np.testing.assert_allclose(found.mean, model.predict(X, verbose=0), rtol=1e-5)
    assert found.std.max() < 1e-5


# --- What stays as it was ------------------------------------------------------------


def test_nothing_of_the_model_or_of_any_random_stream_changes(
    classifier: keras.Model,
) -> None:
    classifier.fit(X, np.zeros(70), verbose=0)
    before = values_of(classifier)
    states = random.getstate(), np.random.get_state()[1].tolist()
    attributes = [dict(vars(layer)) for layer in classifier._flatten_layers()]
    mc_predict(classifier, X, 10, verbose=0)
    mc_predict(classifier, X, 10, masks="coherent", adaptive=True, verbose=0)
    for one, other in zip(values_of(classifier), before, strict=True):
        np.testing.assert_array_equal(one, other)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states
    assert [set(vars(layer)) for layer in classifier._flatten_layers()] == [
        set(each) for each in attributes
    ]


def test_a_model_goes_on_training_as_if_nothing_had_been() -> None:
    def losses(look: bool) -> list[float]:
        keras.utils.set_random_seed(3)
        stack = [dense(8, "relu"), layers.MCDropout(0.5), dense(1)]
        model = keras.Sequential([keras.Input((8,)), *stack])
        model.compile("adam", "mse")
        first = model.fit(X, X[:, :1], epochs=2, verbose=0)
        if look:
            mc_predict(model, X, 10, verbose=0)
        second = model.fit(X, X[:, :1], epochs=2, verbose=0)
        return first.history["loss"] + second.history["loss"]

    assert losses(look=True) == losses(look=False)


def test_a_callback_can_look_during_training() -> None:
    found = []

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
            found.append(mc_predict(model, X[:4], 5, seed=0, verbose=0).mean)

    model = keras.Sequential([keras.Input((8,)), layers.MCDropout(0.5), dense(1)])
    model.compile("sgd", "mse")
    model.fit(X, X[:, :1], callbacks=[Look()], verbose=0)
    assert len(found) == 3
    assert (found[0] != found[2]).all()
    after = mc_predict(model, X[:4], 5, seed=0, verbose=0).mean
    np.testing.assert_array_equal(after, found[2])


def test_training_between_two_calls_is_seen(classifier: keras.Model) -> None:
    mc_predict(classifier, X, 10, seed=0, verbose=0)
    kept = classifier.get_weights()
    classifier.set_weights([np.zeros_like(value) for value in kept])
    found = mc_predict(classifier, X, 10, seed=0, verbose=0)
    classifier.set_weights(kept)
    np.testing.assert_allclose(found.mean, 1 / 3, rtol=1e-6)


def test_a_rate_that_is_changed_between_two_calls_is_seen() -> None:
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dropout(0.5)])
    stds = []
    for rate in (0.5, 0.2):
        model.layers[0].rate = rate
        stds.append(mc_predict(model, np.ones((9, 8)), 400, seed=0, verbose=0).std)
    assert abs(stds[0].mean() - 1) < 0.05
    assert abs(stds[1].mean() - 0.5) < 0.05


def test_a_model_is_not_kept_alive() -> None:
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dropout(0.5)])
    mc_predict(model, X, 10, verbose=0)
    alive = weakref.ref(model)
    del model
    gc.collect()
    assert alive() is None


@pytest.fixture
def garbage_as_for_users() -> Iterator[None]:
    """Python looks for garbage as often as where nobody tells it otherwise."""
    ours = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*ours)


@pytest.mark.usefixtures("garbage_as_for_users")
def test_memory_does_not_grow_with_the_number_of_samples(
    classifier: keras.Model,
) -> None:
    def peak(num_samples: int) -> int:
        mc_predict(classifier, X[:32], num_samples, seed=0, verbose=0)
        tracemalloc.start()
        mc_predict(classifier, X[:32], num_samples, seed=0, verbose=0)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(10_000) < 1.5 * peak(100)


# --- Stopping early ------------------------------------------------------------------


def test_adaptive_stops_rows_whose_class_is_decided() -> None:
    logits = keras.layers.Dense(1, "sigmoid", kernel_initializer="ones")
    stack = [keras.layers.Dropout(0.5), logits]
    model = keras.Sequential([keras.Input((1,)), *stack])
    rows = np.repeat([[5.0], [0.0001]], [3, 2], axis=0)
    found = mc_predict(model, rows, 200, seed=0, adaptive=True, verbose=0)
    assert (found.num_samples[:3] < 200).all()
    plain = mc_predict(model, rows, 200, seed=0, verbose=0)
    assert ((found.mean > 0.5) == (plain.mean > 0.5)).all()


@pytest.mark.one_backend
def test_adaptive_goes_on_with_rows_that_are_not_decided() -> None:
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dropout(0.5)])
    same = np.ones((4, 8), "float32")
    found = mc_predict(model, same, 100, seed=0, adaptive=True, verbose=0)
    assert found.num_samples.tolist() == [100] * 4
    assert abs(found.mean.mean() - 1) < 0.15
    assert abs(found.std.mean() - 1) < 0.1


@pytest.mark.one_backend
def test_adaptive_stops_rows_whose_rank_is_decided() -> None:
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dropout(0.1)])
    rows = np.array([[1.0], [1.001], [100.0]])
    found = mc_predict(model, rows, 500, seed=0, adaptive=True, verbose=0)
    assert found.num_samples[2] < 500
    assert found.num_samples[0] == found.num_samples[1] == 500


# --- What is refused -----------------------------------------------------------------


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"num_samples": 0}, ValueError, "`num_samples` must be an integer >= 1"),
        ({"num_samples": 2.5}, TypeError, "`num_samples` must be an integer >= 1"),
        ({"batch_size": 0}, ValueError, "`batch_size` must be an integer >= 1"),
        ({"seed": "a"}, TypeError, "`seed` must be an integer or None"),
        ({"masks": "same"}, ValueError, "`masks` must be"),
        ({"verbose": 7}, ValueError, "`verbose` must be"),
        ({"adaptive": 1}, TypeError, "`adaptive` must be True or False"),
        ({"return_samples": 1}, TypeError, "`return_samples` must be True or False"),
        (
            {"return_samples": True, "adaptive": True},
            ValueError,
            "`return_samples` must be False where `adaptive` is True",
        ),
        ({"x": X[:, :3]}, ValueError, "`x` must be data that the model takes"),
        ({"x": X[:0]}, ValueError, "`x` must hold at least one row"),
        ({"x": None}, ValueError, "`x` must be"),
        ({"x": "text"}, ValueError, "`x` must be"),
        ({"model": 1}, TypeError, "`model` must be a keras.Model"),
    ],
)
def test_bad_input_is_refused_by_name(
    classifier: keras.Model, options: dict, error: type[Exception], text: str
) -> None:
    arguments = {"model": classifier, "x": X, "verbose": 0} | options
    with pytest.raises(error, match=f"mc_predict: {text}"):
        mc_predict(**arguments)


@pytest.mark.one_backend
def test_a_model_without_dropout_is_refused() -> None:
    stack = [dense(2), keras.layers.Dropout(0.0), keras.layers.GaussianNoise(0.1)]
    model = keras.Sequential([keras.Input((8,)), *stack])
    with pytest.raises(ValueError, match="must have a layer that drops at random"):
        mc_predict(model, X)


def test_a_model_that_is_not_built_is_built_by_the_data() -> None:
    model = keras.Sequential([keras.layers.Dropout(0.5), dense(2)])
    found = mc_predict(model, X, 20, seed=0, verbose=0)
    assert model.built and found.std.min() > 0
