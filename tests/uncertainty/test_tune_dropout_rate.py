"""Tuning a dropout rate by validation likelihood."""

import random

import keras
import matplotlib.pyplot as plt
import numpy as np
import pytest
from keras import layers

from keras_deeptools.uncertainty import (
    DropoutRateTuning,
    gaussian_negative_log_likelihood,
    mc_predict,
    negative_log_likelihood,
    tune_dropout_rate,
)

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(160, 8)).astype("float32")
LABELS = (X[:, 0] + 0.5 * RANDOM.normal(size=160) > 0).astype("int64")
TRAIN, HELD_OUT = slice(0, 96), slice(96, 160)


def network(rate=0.5, loss="sparse_categorical_crossentropy", end=None):
    model = keras.Sequential(
        [
            keras.Input((8,)),
            layers.Dense(16, "relu"),
            layers.Dropout(rate),
            end or layers.Dense(2, "softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.02), loss)
    return model


def tuned(model_or_build, y=LABELS, **options):
    options = {"rates": [0.1, 0.4], "num_samples": 20, "verbose": 0} | options
    return tune_dropout_rate(
        model_or_build,
        X[TRAIN],
        y[TRAIN],
        validation_data=(X[HELD_OUT], y[HELD_OUT]),
        **options,
    )


def weights_of(model):
    return [np.array(value) for value in model.get_weights()]


@pytest.fixture(scope="module")
def tuning_of_a_model():
    keras.utils.set_random_seed(0)
    model = network()
    before = weights_of(model)
    python, numpy = random.getstate(), np.random.get_state()[1].copy()
    tuning = tuned(model, epochs=2)
    assert random.getstate() == python
    np.testing.assert_array_equal(np.random.get_state()[1], numpy)
    return model, before, tuning


def test_the_model_is_left_as_it_was(tuning_of_a_model):
    model, before, _ = tuning_of_a_model
    for one, other in zip(weights_of(model), before, strict=True):
        np.testing.assert_array_equal(one, other)
    assert model.layers[1].rate == 0.5
    assert int(keras.ops.convert_to_numpy(model.optimizer.iterations.value)) == 0
    assert not model.optimizer.built


def test_each_rate_is_trained_from_the_same_weights_and_judged_by_its_mc_mean(
    tuning_of_a_model,
):
    _, before, tuning = tuning_of_a_model
    twin = network(0.4)
    twin.set_weights(before)
    twin.fit(X[TRAIN], LABELS[TRAIN], epochs=2, verbose=0)
    mean = mc_predict(twin, X[HELD_OUT], 500, seed=1, verbose=0).mean
    expected = -negative_log_likelihood(mean, LABELS[HELD_OUT])
    # Other masks and another order of the data: near, not equal.
    assert tuning.log_likelihood[1] == pytest.approx(expected, abs=0.1)


@pytest.mark.one_backend
def test_a_function_starts_every_rate_from_the_weights_of_the_first():
    started = []

    class Start(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            started.append(weights_of(self.model))

    options = {"rates": [0.0, 0.3], "epochs": 1, "callbacks": [Start()]}
    first = tuned(network, **options)
    assert first.retrained
    for one, other in zip(*started, strict=True):
        np.testing.assert_array_equal(one, other)
    # The same seed finds the same, wherever the program's own random state is.
    again = tuned(network, **options | {"rates": [0.0]})
    assert again.log_likelihood[0] == first.log_likelihood[0]


def test_without_retraining_only_the_rate_at_inference_varies():
    model = network()
    model.fit(X[TRAIN], LABELS[TRAIN], epochs=2, verbose=0)
    before = weights_of(model)
    tuning = tuned(model, rates=[0.0, 0.5], retrain=False, num_samples=500)
    silent = -negative_log_likelihood(
        model.predict(X[HELD_OUT], verbose=0), LABELS[HELD_OUT]
    )
    assert tuning.log_likelihood[0] == pytest.approx(silent, rel=1e-5)
    mean = mc_predict(model, X[HELD_OUT], 500, seed=3, verbose=0).mean
    noisy = -negative_log_likelihood(mean, LABELS[HELD_OUT])
    assert tuning.log_likelihood[1] == pytest.approx(noisy, abs=0.02)
    assert not tuning.retrained
    for one, other in zip(weights_of(model), before, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.one_backend
def test_regression_fits_the_noise_of_the_data():
    y = X[:, :1] + 0.3 * RANDOM.normal(size=(160, 1))
    model = network(loss="mse", end=layers.Dense(1))
    model.fit(X[TRAIN], y[TRAIN], epochs=2, verbose=0)
    tuning = tuned(model, y, rates=[0.0, 0.2], retrain=False)
    mean = model.predict(X[HELD_OUT], verbose=0)
    rmse = np.sqrt(np.mean((mean - y[HELD_OUT]) ** 2))
    assert tuning.noise[0] == pytest.approx(rmse, rel=1e-4)
    expected = -gaussian_negative_log_likelihood(mean, rmse, y[HELD_OUT])
    assert tuning.log_likelihood[0] == pytest.approx(expected, rel=1e-4)
    assert 0 < tuning.noise[1] < 1.5 * rmse


@pytest.mark.one_backend
def test_logits_are_made_probabilities_before_their_mean():
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model = network(loss=loss, end=layers.Dense(2))
    tuning = tuned(model, rates=[0.4], retrain=False)
    same = network()
    same.set_weights(model.get_weights())
    expected = tuned(same, rates=[0.4], retrain=False)
    np.testing.assert_allclose(
        tuning.log_likelihood, expected.log_likelihood, rtol=1e-4
    )


@pytest.mark.one_backend
def test_a_trained_model_is_warned_about():
    model = network()
    model.fit(X[TRAIN], LABELS[TRAIN], epochs=1, batch_size=48, verbose=0)
    with pytest.warns(UserWarning, match="trained for 2 updates.*retrain=False"):
        tuned(model, rates=[0.0], epochs=1)


@pytest.mark.backend_free
def test_the_errors_are_those_of_the_rows():
    logs = np.random.default_rng(0).normal(size=(3, 50))
    tuning = DropoutRateTuning.from_rows([0.1, 0.2, 0.3], logs)
    best = logs.mean(axis=1).argmax()
    assert tuning.best_rate == tuning.rates[best]
    np.testing.assert_allclose(
        tuning.standard_error, logs.std(axis=1, ddof=1) / np.sqrt(50)
    )
    np.testing.assert_allclose(
        tuning.difference_error,
        (logs - logs[best]).std(axis=1, ddof=1) / np.sqrt(50),
        atol=1e-12,
    )
    assert tuning.difference[best] == 0 >= tuning.difference.max()


@pytest.mark.backend_free
def test_table_and_picture_show_the_best_rate():
    tuning = DropoutRateTuning.from_rows([0.3, 0.1], [[-1.0, -2.0], [-1.5, -2.5]])
    (starred,) = [line for line in str(tuning).splitlines() if "*" in line]
    assert "0.3" in starred
    ax = tuning.plot()
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), [0.1, 0.3])
    plt.close("all")


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"rates": [1.0]}, ValueError, r"`rates` must be in \[0, 1\)"),
        ({"rates": []}, ValueError, "`rates` must be a list"),
        ({"rates": 0.5}, ValueError, "`rates` must be a list"),
        ({"num_samples": 0}, ValueError, "`num_samples` must be"),
        ({"seed": -1}, ValueError, "`seed` must be"),
        ({"likelihood": "poisson"}, ValueError, "`likelihood` must be one of"),
        ({"retrain": 1}, TypeError, "`retrain` must be True or False"),
    ],
)
def test_a_wrong_argument_is_named(change, error, words):
    with pytest.raises(error, match=f"^tune_dropout_rate: {words}"):
        tuned(network(), **change)


@pytest.mark.one_backend
def test_what_is_no_model_or_not_ready_is_named():
    with pytest.raises(TypeError, match="`model_or_build` must be a keras.Model or"):
        tuned("model")
    with pytest.raises(ValueError, match="`model_or_build` must be compiled"):
        tuned(keras.Sequential([keras.Input((8,)), layers.Dropout(0.5)]))
    with pytest.raises(ValueError, match="`retrain` must be True where a function"):
        tuned(network, retrain=False)
    with pytest.raises(ValueError, match="`validation_data` must be a tuple"):
        tune_dropout_rate(network(), X, LABELS, validation_data=X)
    silent = keras.Sequential([keras.Input((8,)), layers.Dense(2, "softmax")])
    silent.compile("adam", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match="`model` must have a layer that drops"):
        tuned(silent)
