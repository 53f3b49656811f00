"""Interpolation and soups of weights, against means in numpy."""

import keras
import numpy as np
import pytest

from keras_deeptools.transfer import greedy_soup, interpolate_weights, uniform_soup

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(64, 3)).astype("float32")
Y = X.sum(axis=1, keepdims=True)


def small_model(seed: int = 0) -> keras.Model:
    keras.utils.set_random_seed(seed)
    layers = [
        keras.layers.Dense(8, "relu"),
        keras.layers.BatchNormalization(),
        keras.layers.Dropout(0.2, seed=1),
        keras.layers.Dense(1),
    ]
    model = keras.Sequential([keras.Input((3,)), *layers])
    model.compile(keras.optimizers.Adam(0.01), "mse")
    return model


def trained(model: keras.Model, epochs: int) -> list[np.ndarray]:
    model.fit(X, Y, epochs=epochs, batch_size=32, verbose=0)
    return model.get_weights()


def assert_equal(these: list, those: list) -> None:
    for this, that in zip(these, those, strict=True):
        np.testing.assert_allclose(this, that, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
def test_weights_lie_between_a_file_and_a_model(tmp_path, suffix: str) -> None:
    model = small_model()
    start = model.get_weights()
    path = tmp_path / f"start{suffix}"
    trained(model, 1)
    model.set_weights(start)
    (model.save_weights if suffix != ".keras" else model.save)(path)
    end = trained(model, 1)
    optimizer = [keras.ops.convert_to_numpy(v) for v in model.optimizer.variables]
    interpolate_weights(model, path, model, 0.25)
    expected = [0.75 * a + 0.25 * b for a, b in zip(start, end, strict=True)]
    assert_equal(model.get_weights(), expected)
    after = [keras.ops.convert_to_numpy(v) for v in model.optimizer.variables]
    assert_equal(after, optimizer)


@pytest.mark.one_backend
def test_the_statistics_of_batch_norm_are_those_of_the_new_weights() -> None:
    model = small_model()
    ends = [trained(small_model(seed), 1) for seed in (0, 1)]
    interpolate_weights(model, *ends, batch_norm_data=X)
    hidden = np.maximum(X @ model.get_weights()[0] + model.get_weights()[1], 0)
    mean = keras.ops.convert_to_numpy(model.layers[1].moving_mean)
    np.testing.assert_allclose(mean, hidden.mean(0), atol=1e-3)


@pytest.mark.one_backend
def test_a_uniform_soup_is_the_mean(tmp_path) -> None:
    model = small_model()
    sets = [trained(model, 1) for _ in range(3)]
    model.save_weights(tmp_path / "last.weights.h5")
    assert uniform_soup(model, [*sets[:2], tmp_path / "last.weights.h5"]) == 3
    assert_equal(model.get_weights(), [np.mean(v, 0) for v in zip(*sets, strict=True)])


@pytest.mark.one_backend
def test_a_greedy_soup_leaves_out_what_does_harm() -> None:
    model = small_model()
    good = [trained(model, 3), trained(model, 3)]
    bad = [RANDOM.normal(size=v.shape) for v in good[0]]

    def score(model: keras.Model) -> float:
        return -model.evaluate(X, Y, verbose=0)

    alone = []
    for each in [*good, bad]:
        model.set_weights(each)
        alone.append(score(model))
    chosen = greedy_soup(model, [*good, bad], score, batch_norm_data=X)
    assert 2 not in chosen and score(model) >= max(alone) - 1e-6


@pytest.mark.one_backend
def test_an_error_in_the_score_leaves_the_model_as_it_was() -> None:
    model = small_model()
    before = model.get_weights()
    with pytest.raises(ValueError, match="greedy_soup: `score` must be a func"):
        greedy_soup(model, [[v + 1 for v in before]], lambda model: np.nan)
    assert_equal(model.get_weights(), before)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "make, error",
    [
        (lambda m: interpolate_weights(m, m, m, 1.5), r"`mix` must be a float in \[0"),
        (lambda m: interpolate_weights(m, [np.zeros(3)], m), "1 arrays for 8 weights"),
        (lambda m: uniform_soup(m, []), "not empty"),
        (lambda m: uniform_soup(m, "a.keras"), "`checkpoints` must be a list of"),
        (lambda m: greedy_soup(m, [m], 0.5), "`score` must be a function"),
    ],
)
def test_what_does_not_fit_is_an_error(make, error: str) -> None:
    with pytest.raises((TypeError, ValueError), match=error):
        make(small_model())
