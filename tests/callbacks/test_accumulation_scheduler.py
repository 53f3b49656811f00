"""Accumulation that changes between epochs: Keras' own, larger batches, files."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from keras_deeptools.callbacks import AccumulationScheduler, OneCycleScheduler

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 4)).astype("float32")
Y = X[:, :1] * X[:, 1:2]


def network(optimizer: Any) -> keras.Model:
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(1)]
    )
    model.compile(optimizer, "mse")
    return model


def fit(model: keras.Model, *callbacks: Any, **options: Any) -> keras.callbacks.History:
    options = {"batch_size": 8, "epochs": 1} | options
    return model.fit(X, Y, shuffle=False, verbose=0, callbacks=callbacks, **options)


def values(model: keras.Model) -> list[np.ndarray]:
    variables = [*model.variables, *model.optimizer.variables]
    return [np.array(keras.ops.convert_to_numpy(v)) for v in variables]


def assert_close(these: keras.Model, those: keras.Model, atol: float = 1e-6) -> None:
    for this, that in zip(values(these), values(those), strict=True):
        np.testing.assert_allclose(this, that, atol=atol)


def test_one_number_throughout_is_the_accumulation_of_keras() -> None:
    scheduled = network(keras.optimizers.Adam(0.01))
    own = network(keras.optimizers.Adam(0.01, gradient_accumulation_steps=3))
    fit(scheduled, AccumulationScheduler({0: 3}), epochs=3)
    fit(own, epochs=3)
    for this, that in zip(scheduled.weights, own.weights, strict=True):
        np.testing.assert_allclose(this, that, atol=1e-7)
    assert int(scheduled.optimizer.iterations) == 8


def test_growing_numbers_train_as_growing_batches() -> None:
    accumulated = network(keras.optimizers.SGD(0.1, momentum=0.9))
    fit(accumulated, AccumulationScheduler({1: 2, 2: 4}), epochs=3)
    larger = network(keras.optimizers.SGD(0.1, momentum=0.9))
    for size in (8, 16, 32):
        fit(larger, batch_size=size)
    assert_close(accumulated, larger)
    assert accumulated.optimizer.gradient_accumulation_steps is None


def test_a_file_written_in_training_resumes_it(tmp_path: Path) -> None:
    path = str(tmp_path / "{epoch}.keras")
    plan = {0: 2, 1: 4, 3: 1}
    whole = network("adam")
    checkpoint = keras.callbacks.ModelCheckpoint(path)
    fit(whole, AccumulationScheduler(plan), checkpoint, epochs=4)
    resumed = keras.saving.load_model(path.format(epoch=2))
    assert int(resumed.optimizer.iterations) == 6
    assert resumed.optimizer.gradient_accumulation_steps is None
    fit(resumed, AccumulationScheduler(plan), epochs=4, initial_epoch=2)
    assert_close(resumed, whole)


@pytest.mark.one_backend
def test_1cycle_follows_the_updates_of_the_plan() -> None:
    cycle = OneCycleScheduler(0.1)
    fit(network("sgd"), AccumulationScheduler({0: 1, 2: 3}), cycle, epochs=4)
    assert len(cycle.history["learning_rate"]) == 8 + 8 + 2 + 3


@pytest.mark.one_backend
def test_batches_that_are_summed_stay_in_the_mean_if_the_number_falls() -> None:
    zero = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
    model = keras.Sequential([keras.Input((1,)), zero])
    # The gradient of a batch is the mean of its inputs, whatever the weight.
    model.compile(keras.optimizers.SGD(1.0), lambda _, outputs: outputs)
    x = np.repeat(2.0 ** np.arange(8), 2)[:, None]
    plan = AccumulationScheduler({0: 6, 1: 2})
    model.fit(x, x, 2, 2, 0, callbacks=[plan], shuffle=False)
    first = np.mean(2.0 ** np.arange(6))
    second = ((2.0**6 + 2.0**7) / 2 + 1) / 2
    rest = [(2 + 4) / 2, (8 + 16) / 2, (32 + 64) / 2]
    [[found]] = values(model)[0]
    assert -found == pytest.approx(first + second + sum(rest))


@pytest.mark.one_backend
def test_an_optimizer_that_accumulates_by_itself_is_refused() -> None:
    model = network(keras.optimizers.SGD(0.1, gradient_accumulation_steps=4))
    with pytest.raises(ValueError, match=r"must be left out.*factors=\{0: 4\}"):
        fit(model, AccumulationScheduler({0: 2}))
    with pytest.raises(ValueError, match="AccumulationScheduler: `factors` must be"):
        AccumulationScheduler({0: 0})
