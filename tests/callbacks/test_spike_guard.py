"""Bad batches and steps, injected on purpose."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from keras_deeptools import attach
from keras_deeptools.callbacks import (
    GradientMonitor,
    OneCycleScheduler,
    SharpnessAwareMinimization,
    SpikeGuard,
    WeightAveraging,
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(320, 4)).astype("float32")
Y = np.tanh(X[:, :2])


def network(optimizer: Any = None, dtype: Any = None) -> keras.Model:
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(8, "tanh", dtype=dtype),
            layers.BatchNormalization(dtype=dtype),
            layers.Dense(2, dtype=dtype),
        ]
    )
    model.compile(optimizer or keras.optimizers.Adam(0.01), "mse", metrics=["mae"])
    return model


def values(variables: Any) -> list[np.ndarray]:
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def assert_equal(these: list[np.ndarray], those: list[np.ndarray]) -> None:
    for this, that in zip(these, those, strict=True):
        np.testing.assert_allclose(this, that, rtol=1e-5, atol=1e-6)


def trained(model: keras.Model, x: Any, *callbacks: Any, epochs: int = 1) -> Any:
    return model.fit(x, Y[: len(x)], 8, epochs, 0, list(callbacks), shuffle=False)


def spoilt(batch: int, value: float) -> np.ndarray:
    x = X.copy()
    x[8 * batch] = value
    return x


class LargeStep(keras.callbacks.Callback):
    """Makes one update with a learning rate that is far too large."""

    def __init__(self, batch: int, rate: float = 1e4) -> None:
        super().__init__()
        self.batch, self.rate = batch, rate

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        if batch == self.batch and not hasattr(self, "before"):
            self.before = float(np.array(self.model.optimizer.learning_rate.numpy()))
            self.model.optimizer.learning_rate = self.rate
        elif batch == self.batch + 1:
            self.model.optimizer.learning_rate = self.before


def test_a_batch_that_is_not_finite_leaves_everything_as_it_was() -> None:
    model, twin = network(), network()
    guard = SpikeGuard()
    logs = trained(model, spoilt(3, np.nan), guard).history
    without = np.delete(np.arange(320), slice(24, 32))
    expected = twin.fit(X[without], Y[without], 8, 1, 0, shuffle=False).history
    assert_equal(values(model.weights), values(twin.weights))
    assert_equal(values(model.optimizer.variables), values(twin.optimizer.variables))
    for name in ("loss", "mae"):
        np.testing.assert_allclose(logs[name], expected[name], rtol=1e-5)
    [event] = guard.events
    assert (event["epoch"], event["batch"]) == (0, 3)
    assert (event["kind"], event["action"]) == ("not finite", "skipped")


def test_a_spike_is_skipped_and_a_healthy_batch_is_not() -> None:
    model, twin, guard = network(), network(), SpikeGuard(window=10)
    y = Y.copy()
    y[240] = 1e4
    model.fit(X, y, 8, 1, 0, [guard], shuffle=False)
    without = np.delete(np.arange(320), slice(240, 248))
    twin.fit(X[without], Y[without], 8, 1, 0, shuffle=False)
    assert [(event["batch"], event["kind"][-5:]) for event in guard.events] == [
        (30, "spike")
    ]
    assert_equal(values(model.weights), values(twin.weights))


def test_inputs_that_only_spoil_the_statistics_are_found() -> None:
    def normalized() -> keras.Model:
        keras.utils.set_random_seed(1)
        parts = [layers.Dense(8), layers.BatchNormalization(), layers.Dense(2)]
        model = keras.Sequential([keras.Input((4,)), *parts])
        model.compile(keras.optimizers.Adam(0.01), "mse")
        return model

    model, twin, guard = normalized(), normalized(), SpikeGuard(window=10)
    x = X.copy()
    x[240:248] *= 1000
    trained(model, x, guard)
    without = np.delete(np.arange(320), slice(240, 248))
    twin.fit(X[without], Y[without], 8, 1, 0, shuffle=False)
    assert [(e["batch"], e["kind"]) for e in guard.events] == [(30, "statistics spike")]
    assert_equal(values(model.weights), values(twin.weights))


@pytest.mark.one_backend
def test_a_training_without_faults_is_what_it_is_without_the_guard() -> None:
    model, plain, guard = network(), network(), SpikeGuard()
    trained(model, X, guard, epochs=3)
    trained(plain, X, epochs=3)
    assert not guard.events
    assert_equal(values(model.weights), values(plain.weights))


def test_a_damped_spike_moves_the_weights_by_no_more_than_the_limit() -> None:
    model = network(keras.optimizers.SGD(0.01))
    guard = SpikeGuard("damp", window=10)
    found = []

    class Keep(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
            found.append(values(self.model.trainable_variables))

    y = Y.copy()
    y[240] = 1e4
    model.fit(X, y, 8, 1, 0, [guard, Keep()], shuffle=False)
    [event] = guard.events
    assert (event["batch"], event["action"]) == (30, "damped")
    change = [b - a for a, b in zip(found[29], found[30], strict=True)]
    length = np.sqrt(sum((c**2).sum() for c in change))
    assert length == pytest.approx(0.01 * event["limit"], rel=1e-3)


def test_training_goes_back_after_a_step_that_was_too_large() -> None:
    model, guard = network(), SpikeGuard(window=10, check_every=4, copy_every=8)
    plain = network()
    trained(model, X, LargeStep(25), guard, epochs=3)
    trained(plain, X, epochs=3)
    assert guard.num_rollbacks == 1
    [event] = [event for event in guard.events if event["kind"] == "rollback"]
    assert event["epoch"] == 0 and 25 < event["batch"] < 40
    assert "0.5" in event["action"]
    losses = [m.evaluate(X, Y, verbose=0)[0] for m in (model, plain)]
    assert losses[0] < 2 * losses[1]


@pytest.mark.one_backend
def test_the_learning_rate_comes_back_after_a_while() -> None:
    model = network()
    guard = SpikeGuard(window=10, check_every=4, copy_every=8, cooldown=20)
    rates = []

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
            rates.append(float(guard._guard.leaf.read(guard._guard.rate)))

    trained(model, X, LargeStep(25), guard, Look(), epochs=2)
    assert {rates[0], rates[-1]} == {1.0}
    assert 20 <= rates.count(0.5) <= 24
    assert float(model.optimizer.learning_rate.numpy()) == pytest.approx(0.01)


@pytest.mark.one_backend
def test_a_new_level_of_the_data_is_accepted() -> None:
    y = Y.copy()
    y[160:] += 100
    guard = SpikeGuard(window=10, check_every=4, copy_every=8)
    model = network()
    model.fit(X, y, 8, 1, 0, [guard], shuffle=False)
    kinds = [event["kind"] for event in guard.events]
    assert kinds.count("rollback") == kinds.count("new level accepted") == 1
    assert kinds[-1] == "new level accepted"


@pytest.mark.one_backend
def test_rollbacks_are_bounded() -> None:
    x = X.copy()
    x[80:] = np.nan
    guard = SpikeGuard(check_every=4, copy_every=8, max_rollbacks=1)
    with pytest.warns(UserWarning, match="SpikeGuard: .* in a row were not finite"):
        trained(network(), x, guard)
    assert guard.num_rollbacks == 1
    assert len([e for e in guard.events if e["kind"] == "not finite"]) == 30


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.one_backend
def test_half_precision(dtype: str) -> None:
    model, guard = network(dtype=dtype), SpikeGuard(window=10)
    logs = trained(model, spoilt(30, np.nan), guard).history
    assert np.isfinite(logs["loss"]).all()
    assert [event["batch"] for event in guard.events] == [30]
    assert all(np.isfinite(each).all() for each in values(model.weights))


@pytest.mark.one_backend
def test_a_bad_batch_is_left_out_of_accumulated_gradients() -> None:
    def optimizer() -> keras.optimizers.Optimizer:
        return keras.optimizers.SGD(0.1, gradient_accumulation_steps=3)

    model, twin, guard = network(optimizer()), network(optimizer()), SpikeGuard()
    trained(model, spoilt(4, np.inf), guard)
    without = np.delete(np.arange(320), slice(32, 40))
    twin.fit(X[without], Y[without], 8, 1, 0, shuffle=False)
    assert_equal(values(model.weights), values(twin.weights))


def test_beside_others() -> None:
    others = [
        OneCycleScheduler(0.02),
        GradientMonitor(on_problem="ignore"),
        WeightAveraging(0.9),
        SharpnessAwareMinimization(0.01),
    ]
    model, guard = network(), SpikeGuard(window=10, check_every=4, copy_every=8)
    trained(model, spoilt(5, np.nan), *others, guard, epochs=2)
    assert [e["batch"] for e in guard.events if e["kind"] == "not finite"][:1] == [5]
    assert all(np.isfinite(each).all() for each in values(model.weights))


@pytest.mark.one_backend
def test_an_optimizer_alone_is_refused() -> None:
    optimizer = keras.optimizers.SGD()
    optimizer.build([keras.Variable(1.0)])
    with pytest.raises(ValueError, match="SpikeGuard: .* Attach to the compiled"):
        attach(optimizer, SpikeGuard())
