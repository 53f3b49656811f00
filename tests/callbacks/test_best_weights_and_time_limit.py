"""What `fit` ends with, and when."""

import copy
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from keras_deeptools.callbacks import (
    BestWeights,
    TimeLimit,
    WeightAveraging,
    _time_limit as time_limit,
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 3)).astype("float32")
Y = X[:, :1]


def network(rate: float = 0.1) -> keras.Model:
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [keras.Input((3,)), layers.BatchNormalization(), layers.Dense(1)]
    )
    model.compile(keras.optimizers.SGD(rate, momentum=0.9), loss="mse")
    return model


def values(variables: Any) -> list[np.ndarray]:
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def assert_equal(these: list[np.ndarray], those: list[np.ndarray]) -> None:
    for this, that in zip(these, those, strict=True):
        np.testing.assert_array_equal(this, that)


class Keep(keras.callbacks.Callback):
    """Notes the weights at the end of each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.weights: list[list[np.ndarray]] = []

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.weights.append(values(self.model.weights))


def test_a_model_ends_with_the_weights_of_its_best_epoch() -> None:
    model, keep, best = network(), Keep(), BestWeights()
    rates = keras.callbacks.LearningRateScheduler(lambda epoch: [0.05, 0.6][epoch > 3])
    history = model.fit(
        X, Y, 8, 6, 0, validation_data=(X, Y), callbacks=[rates, keep, best]
    ).history["val_loss"]
    assert best.best_epoch == int(np.nanargmin(history)) < 5
    assert best.best == np.nanmin(history)
    assert_equal(values(model.weights), keep.weights[best.best_epoch])
    assert model.evaluate(X, Y, 8, 0) == pytest.approx(best.best, rel=1e-5)


@pytest.mark.one_backend
def test_the_optimizer_is_that_of_the_last_epoch() -> None:
    plain, model = network(0.2), network(0.2)
    plain.fit(X, Y, 8, 6, 0, shuffle=False)
    model.fit(X, Y, 8, 6, 0, callbacks=[BestWeights("loss")], shuffle=False)
    assert_equal(values(model.optimizer.variables), values(plain.optimizer.variables))


@pytest.mark.one_backend
def test_larger_is_better_where_the_name_says_so() -> None:
    best = BestWeights("accuracy")
    best.set_model(network())
    for epoch, accuracy in enumerate([0.2, 0.9, float("nan"), 0.5]):
        best.on_epoch_end(epoch, {"accuracy": accuracy})
    assert (best.best, best.best_epoch) == (0.9, 1)


@pytest.mark.one_backend
def test_best_weights_behind_averages_are_the_averages() -> None:
    model, keep, best = network(0.2), Keep(), BestWeights()
    averaging = WeightAveraging(0.9)
    model.fit(X, Y, 8, 4, 0, validation_data=(X, Y), callbacks=[averaging, keep, best])
    assert_equal(values(model.weights), keep.weights[best.best_epoch])
    assert model.evaluate(X, Y, 8, 0) == pytest.approx(best.best, rel=1e-5)


def test_the_best_weights_can_be_had_after_ctrl_c() -> None:
    class Break(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
            if epoch == 3:
                raise KeyboardInterrupt

    model, keep, best = network(0.2), Keep(), BestWeights("loss")
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, 8, 6, 0, callbacks=[keep, best, Break()])
    best.restore()
    assert_equal(values(model.weights), keep.weights[best.best_epoch])


@pytest.mark.one_backend
def test_a_copy_holds_no_weights() -> None:
    model, best = network(), BestWeights("loss")
    best.set_model(model)
    best.on_epoch_end(0, {"loss": 1.0})
    before = values(model.weights)
    copy.deepcopy(best).restore()
    assert_equal(values(model.weights), before)


@pytest.mark.one_backend
def test_a_validation_number_without_validation_is_refused_before_training() -> None:
    with pytest.raises(ValueError, match="BestWeights: `monitor` must be .*validation"):
        network().fit(X, Y, verbose=0, callbacks=[BestWeights()])


@pytest.mark.one_backend
def test_a_number_that_is_not_in_the_logs_is_named() -> None:
    with pytest.warns(UserWarning, match="`monitor` must be in the logs .*loss"):
        network().fit(X, Y, verbose=0, callbacks=[BestWeights("accuracy")])


@pytest.mark.one_backend
def test_a_model_with_best_weights_saves_and_loads(tmp_path: Path) -> None:
    model = network()
    model.fit(X, Y, 8, 3, 0, callbacks=[BestWeights("loss")])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_equal(values(loaded.weights), values(model.weights))


class Clock(keras.callbacks.Callback):
    """A clock that goes by batches: the first takes 5 seconds, the others 1."""

    def __init__(self, monkeypatch: Any, validation: float = 0.0) -> None:
        super().__init__()
        self.now, self.batches, self.validation = 100.0, 0, validation
        monkeypatch.setattr(time_limit, "monotonic", lambda: self.now)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.now += 1.0 if self.batches else 5.0
        self.batches += 1

    def on_test_end(self, logs: dict | None = None) -> None:
        self.now += self.validation


def test_training_ends_with_the_last_batch_that_fits_in(monkeypatch: Any) -> None:
    clock, limit = Clock(monkeypatch), TimeLimit(seconds=10.5)
    history = network().fit(X, Y, 8, 9, 0, callbacks=[clock, limit])
    # 5 seconds, then five batches of 1: three batches are an epoch.
    assert clock.batches == 6
    assert (limit.elapsed, limit.stopped_epoch) == (10.0, 1)
    assert len(history.history["loss"]) == 2


@pytest.mark.one_backend
def test_there_is_time_left_for_the_validation(monkeypatch: Any) -> None:
    clock, limit = Clock(monkeypatch, 4.0), TimeLimit(minutes=0.25, seconds=2.5)
    network().fit(X, Y, 8, 9, 0, callbacks=[clock, limit], validation_data=(X, Y))
    # 7 seconds and 4 for the first epoch, then two of three batches, and 4.
    assert (clock.batches, limit.elapsed) == (5, 17.0)


@pytest.mark.one_backend
def test_the_first_validation_is_reckoned_with(monkeypatch: Any) -> None:
    clock, limit = Clock(monkeypatch, 7.0), TimeLimit(seconds=14.0)
    network().fit(X, Y, 8, 9, 0, callbacks=[clock, limit], validation_data=(X, Y))
    assert limit.stopped_epoch == 0
    assert limit.elapsed <= 14.0


@pytest.mark.one_backend
def test_training_goes_on_from_an_initial_epoch(monkeypatch: Any) -> None:
    clock, limit = Clock(monkeypatch), TimeLimit(seconds=10.5)
    model = network()
    for _ in range(2):
        clock.batches = 0
        model.fit(X, Y, 8, 9, 0, callbacks=[clock, limit], initial_epoch=4)
        assert (clock.batches, limit.stopped_epoch) == (6, 5)


@pytest.mark.one_backend
def test_a_training_that_is_shorter_is_not_cut() -> None:
    plain, model, limit = network(), network(), TimeLimit(minutes=9)
    plain.fit(X, Y, 8, 3, 0, shuffle=False)
    model.fit(X, Y, 8, 3, 0, callbacks=[limit], shuffle=False)
    assert_equal(values(model.weights), values(plain.weights))
    assert limit.stopped_epoch is None


def test_a_cut_training_ends_with_its_best_weights(monkeypatch: Any) -> None:
    model, keep = network(0.2), Keep()
    limit = TimeLimit(seconds=20.0, monitor="loss")
    callbacks = [Clock(monkeypatch), keep, limit]
    losses = model.fit(X, Y, 8, 99, 0, callbacks=callbacks).history["loss"]
    assert len(losses) < 99
    assert_equal(values(model.weights), keep.weights[int(np.nanargmin(losses))])


@pytest.mark.one_backend
def test_a_limit_of_no_time_is_refused() -> None:
    with pytest.raises(ValueError, match="TimeLimit: `seconds` or `minutes` must be"):
        TimeLimit()
