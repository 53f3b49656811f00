"""Lookahead around, inside and beside what else trains."""

from typing import Any

import keras
import numpy as np
import pytest

from keras_deeptools import optimizers, transfer
from keras_deeptools.callbacks import (
    CautiousUpdates,
    GradientMonitor,
    MaxNormEnforcer,
    OneCycleScheduler,
    WeightAveraging,
)

SGD = keras.optimizers.SGD
X, Y = np.ones((8, 2), "float32"), np.zeros((8, 1), "float32")


def around(inner: Any, period: int = 2) -> optimizers.Lookahead:
    return optimizers.Lookahead(inner, sync_period=period)


def applied(optimizer: Any, gradients: list[float], start: float = 1.0) -> list[float]:
    """The weight after each of the updates."""
    weight = keras.Variable(start)
    optimizer.build([weight])
    seen = []
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient)])
        seen.append(float(keras.ops.convert_to_numpy(weight)))
    return seen


def network(optimizer: Any) -> keras.Model:
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(3, "tanh"), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((2,)), *layers])
    model.compile(optimizer, loss="mse")
    return model


def fit(model: keras.Model, *callbacks: Any) -> list[np.ndarray]:
    model.fit(X, Y, 2, 2, 0, callbacks=list(callbacks), shuffle=False)
    return [np.array(keras.ops.convert_to_numpy(w)) for w in model.trainable_variables]


def test_accumulated_batches_count_as_one_update() -> None:
    inner = SGD(0.25, gradient_accumulation_steps=2)
    assert applied(around(inner), [1.0] * 4) == [1.0, 0.75, 0.75, 0.75]


def test_moving_averages_see_the_weights_after_they_moved_back() -> None:
    inner = SGD(0.25, use_ema=True, ema_momentum=0.5)
    optimizer = around(inner)
    assert applied(optimizer, [1.0, 1.0]) == [0.75, 0.75]
    averages = [v for v in optimizer.variables if "average" in v.path]
    assert float(keras.ops.convert_to_numpy(averages[0])) == 0.75


@pytest.mark.one_backend
def test_constraints_hold_after_the_weights_moved_back() -> None:
    weight = keras.Variable([3.0, 4.0])
    weight.constraint = keras.constraints.UnitNorm(axis=0)
    optimizer = around(SGD(0.5))
    optimizer.build([weight])
    for _ in range(2):
        optimizer.apply([keras.ops.convert_to_tensor([1.0, 0.0])])
    norm = np.linalg.norm(keras.ops.convert_to_numpy(weight))
    assert norm == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("outside", [True, False])
def test_updates_that_loss_scaling_skips_do_not_count(outside: bool) -> None:
    if outside:
        optimizer = keras.optimizers.LossScaleOptimizer(
            around(SGD(0.25)), initial_scale=4.0
        )
    else:
        scaler = keras.optimizers.LossScaleOptimizer(SGD(0.25), initial_scale=4.0)
        optimizer = around(scaler)
    model = network(optimizer)
    plain = network(around(SGD(0.25)))
    model.train_on_batch(np.full_like(X, np.nan), Y)
    np.testing.assert_allclose(fit(model)[0], fit(plain)[0], atol=1e-6)


def test_layer_groups_at_rates_of_their_own_are_synchronized_together() -> None:
    pair = []
    for inside in (True, False):
        model = network("sgd")
        layers = [[layer] for layer in model.layers]
        groups = {"multipliers": [0.5, 1.0], "groups": layers}
        optimizer = SGD(0.25, momentum=0.9)
        if inside:
            optimizer = around(
                transfer.DiscriminativeLearningRates(optimizer, **groups)
            )
        else:
            optimizer = transfer.DiscriminativeLearningRates(
                around(optimizer), **groups
            )
        model.compile(optimizer, loss="mse")
        pair.append(fit(model))
    for this, that in zip(*pair, strict=True):
        np.testing.assert_array_equal(this, that)


def test_features_take_part_and_1cycle_reaches_the_inner_optimizer() -> None:
    model = network(around(SGD(0.25, momentum=0.9)))
    cycle = OneCycleScheduler(0.1)
    kernel, *_ = fit(
        model,
        GradientMonitor(on_problem="ignore"),
        cycle,
        MaxNormEnforcer(0.2),
        WeightAveraging(0.9),
    )
    assert (np.linalg.norm(kernel, axis=0) < 0.2001).all()
    assert len(set(cycle.history["momentum"])) > 3


@pytest.mark.one_backend
def test_attributes_are_those_of_the_inner_optimizer() -> None:
    optimizer = around(SGD(0.25, momentum=0.5))
    optimizer.momentum = 0.75
    assert optimizer.inner_optimizer.momentum == optimizer.momentum == 0.75
    assert optimizer.sync_period == 2
    assert not hasattr(optimizer.inner_optimizer, "sync_period")


@pytest.mark.one_backend
def test_an_optimizer_is_in_one_lookahead_at_most() -> None:
    with pytest.raises(ValueError, match="Lookahead: .*in a `Lookahead` already"):
        around(around(SGD()))


@pytest.mark.one_backend
def test_weights_that_are_unfrozen_start_with_slow_weights_where_they_are() -> None:
    model = network(around(SGD(0.25), period=100))
    transfer.freeze(model, model.layers[0].name)
    fit(model)
    transfer.unfreeze(model, model.layers[0].name)
    slow = [v for v in model.optimizer.variables if "slow" in v.path]
    kernel = keras.ops.convert_to_numpy(model.layers[0].kernel)
    assert any(
        v.shape == kernel.shape
        and np.array_equal(keras.ops.convert_to_numpy(v), kernel)
        for v in slow
    )


@pytest.mark.one_backend
def test_cautious_updates_are_refused_beside_it() -> None:
    with pytest.raises(ValueError, match="CautiousUpdates: the update must be"):
        fit(network(around(SGD(0.25))), CautiousUpdates())
