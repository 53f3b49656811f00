"""Sharpness-aware minimization against a loop in numpy, and beside what else trains."""

from typing import Any

import keras
import numpy as np
import pytest

import numpy_network
from keras_deeptools import attach
from keras_deeptools.callbacks import GradientClipper, SharpnessAwareMinimization

RATE = 0.05


def in_numpy(
    weights: list[np.ndarray],
    radius: float,
    interval: int = 1,
    num_epochs: int = 2,
    adaptive: bool = False,
) -> list[np.ndarray]:
    """SGD with the gradient at the worst weights nearby, over batches of eight."""
    x, y = numpy_network.data()
    for update in range(3 * num_epochs):
        batch = slice(8 * (update % 3), 8 * (update % 3) + 8)
        found = numpy_network.gradients(weights, x[batch], y[batch])
        if update % interval == 0:
            sizes = [
                np.abs(w) + 0.01 if adaptive and w.ndim > 1 else 1.0 for w in weights
            ]
            triples = list(zip(weights, found, sizes, strict=True))
            norm = np.sqrt(sum(((s * g) ** 2).sum() for _, g, s in triples))
            worst = [w + radius * s**2 * g / norm for w, g, s in triples]
            found = numpy_network.gradients(worst, x[batch], y[batch])
        weights = [w - RATE * g for w, g in zip(weights, found, strict=True)]
    return weights


def trained(model: keras.Model, *callbacks: Any) -> dict[str, list[float]]:
    x, y = numpy_network.data()
    return model.fit(x, y, 8, 2, 0, callbacks=list(callbacks), shuffle=False).history


def assert_weights(model: keras.Model, expected: list[np.ndarray]) -> None:
    found = numpy_network.weights_of(model)
    for this, that in zip(found, expected, strict=True):
        np.testing.assert_allclose(this, that, atol=1e-5)


@pytest.mark.parametrize("interval", [1, 2])
def test_weights_are_those_of_the_algorithm(interval: int) -> None:
    model = numpy_network.network(keras.optimizers.SGD(RATE))
    start = numpy_network.weights_of(model)
    trained(model, SharpnessAwareMinimization(0.5, interval))
    expected = in_numpy(start, 0.5, interval)
    assert_weights(model, expected)
    plain = in_numpy(start, 1e-9)
    assert not all(np.allclose(a, b) for a, b in zip(plain, expected, strict=True))


def test_adaptive_weights_are_those_of_asam() -> None:
    model = numpy_network.network(keras.optimizers.SGD(RATE))
    start = numpy_network.weights_of(model)
    trained(model, SharpnessAwareMinimization(0.5, adaptive=True))
    assert_weights(model, in_numpy(start, 0.5, adaptive=True))


def test_the_reported_loss_is_that_of_the_weights_before_they_are_moved() -> None:
    model = numpy_network.network(keras.optimizers.SGD(0.0))
    x, y = numpy_network.data()
    loss = model.evaluate(x, y, verbose=0)
    found = trained(model, SharpnessAwareMinimization(5.0))
    np.testing.assert_allclose(found["loss"], [loss, loss], rtol=1e-5)


def regularized() -> keras.Model:
    keras.utils.set_random_seed(0)
    parts = [keras.layers.Dense(8), keras.layers.BatchNormalization()]
    parts += [keras.layers.Dropout(0.5, seed=1), keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input((5,)), *parts])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    return model


def test_statistics_and_random_numbers_are_those_of_one_run() -> None:
    plain, twice = regularized(), regularized()
    first = trained(plain)
    second = trained(twice, SharpnessAwareMinimization(0.5))
    np.testing.assert_allclose(first["loss"], second["loss"], rtol=1e-6)
    for this, that in zip(plain.variables, twice.variables, strict=True):
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(this),
            keras.ops.convert_to_numpy(that),
            rtol=1e-6,
            err_msg=this.path,
        )


def test_loss_scaling_changes_nothing_and_skips_what_is_not_finite() -> None:
    scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(RATE))
    model = numpy_network.network(scaled)
    start = numpy_network.weights_of(model)
    sam = SharpnessAwareMinimization(0.5)
    x, y = numpy_network.data()
    with attach(model, sam):
        model.train_on_batch(np.full_like(x, np.nan), y)
    assert_weights(model, start)
    trained(model, sam)
    assert_weights(model, in_numpy(start, 0.5))


def test_accumulated_halves_are_perturbed_each_by_its_own_gradient() -> None:
    optimizer = keras.optimizers.SGD(RATE, gradient_accumulation_steps=3)
    model = numpy_network.network(optimizer)
    start = numpy_network.weights_of(model)
    x, y = numpy_network.data()
    expected = start
    for _ in range(2):
        sums = [np.zeros_like(w) for w in expected]
        for batch in (slice(0, 8), slice(8, 16), slice(16, 24)):
            found = numpy_network.gradients(expected, x[batch], y[batch])
            norm = np.sqrt(sum((g**2).sum() for g in found))
            pairs = zip(expected, found, strict=True)
            worst = [w + 0.5 * g / norm for w, g in pairs]
            second = numpy_network.gradients(worst, x[batch], y[batch])
            sums = [s + g for s, g in zip(sums, second, strict=True)]
        expected = [w - RATE * s / 3 for w, s in zip(expected, sums, strict=True)]
    trained(model, SharpnessAwareMinimization(0.5))
    assert_weights(model, expected)


@pytest.mark.one_backend
def test_other_features_see_and_change_the_second_gradient() -> None:
    model = numpy_network.network(keras.optimizers.SGD(RATE))
    start = numpy_network.weights_of(model)
    clipper = GradientClipper(global_norm=1e-3)
    trained(model, clipper, SharpnessAwareMinimization(0.5))
    moved = zip(numpy_network.weights_of(model), start, strict=True)
    distance = np.sqrt(sum(((a - b) ** 2).sum() for a, b in moved))
    assert 0 < distance <= 6 * RATE * 1e-3 * 1.001
    assert clipper.num_updates == 6


@pytest.mark.one_backend
def test_after_training_the_model_trains_as_one_that_never_met_it() -> None:
    model = numpy_network.network(keras.optimizers.SGD(RATE))
    trained(model, SharpnessAwareMinimization(0.5))
    start = numpy_network.weights_of(model)
    trained(model)
    assert_weights(model, in_numpy(start, 1e-12))
    assert "train_step" not in vars(model)


@pytest.mark.one_backend
def test_an_optimizer_without_its_model_is_refused() -> None:
    optimizer = keras.optimizers.SGD()
    optimizer.build([keras.Variable(1.0)])
    with pytest.raises(ValueError, match="SharpnessAware.*Attach to the compiled"):
        attach(optimizer, SharpnessAwareMinimization())
