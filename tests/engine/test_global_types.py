"""Every global type of numbers: float64, bfloat16 and their kin, for all that acts."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest

from keras_deeptools import schedules
from keras_deeptools.callbacks import (
    GradientClipper,
    GradientMonitor,
    HyperparameterScheduler,
    LearningRateFinder,
    MaxNormEnforcer,
    OneCycleScheduler,
    WeightAveraging,
    find_learning_rate,
)
from keras_deeptools.transfer import DiscriminativeLearningRates

BACKEND = keras.backend.backend()
X = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
Y = X[:, :1] - 2 * X[:, 1:2]

# As (floatx, dtype policy).
TYPES = {
    "float64 for all": ("float64", "float64"),
    "bfloat16 for all": ("bfloat16", "bfloat16"),
    "float16 for all": ("float16", "float16"),
    "float64 policy": ("float32", "float64"),
    "bfloat16 policy": ("float32", "bfloat16"),
    "float16 policy": ("float32", "float16"),
    "mixed_bfloat16": ("float32", "mixed_bfloat16"),
    "mixed_float16": ("float32", "mixed_float16"),
}

GLOBAL = pytest.mark.parametrize(
    "precision", ["float64 for all", "bfloat16 for all"], indirect=True
)
"""The types in which the optimizer's own variables are too."""


@pytest.fixture(params=TYPES)
def precision(request: pytest.FixtureRequest) -> Iterator[float]:
    """Sets a global type; gives the relative error that it allows."""
    floatx, policy = TYPES[request.param]
    if BACKEND == "jax":
        import jax

        jax.config.update("jax_enable_x64", "float64" in (floatx, policy))
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(policy)
    try:
        yield {"float64": 1e-6, "float32": 1e-6, "float16": 2e-3, "bfloat16": 1e-2}[
            floatx
        ]
    finally:
        keras.config.set_floatx("float32")
        if BACKEND == "jax":
            jax.config.update("jax_enable_x64", False)


def small_model(optimizer: Any = None, **kwargs: Any) -> keras.Model:
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(5, "relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(1),
        ]
    )
    model.compile(optimizer or keras.optimizers.SGD(0.01, 0.9), loss="mse", **kwargs)
    return model


def number(value: Any) -> float:
    return float(keras.ops.convert_to_numpy(keras.ops.cast(value, "float32")))


def fit(model: keras.Model, *callbacks: Any) -> list[float]:
    options = {"batch_size": 8, "epochs": 2, "verbose": 0, "shuffle": False}
    history = model.fit(X, Y, callbacks=list(callbacks), **options)
    return [number(loss) for loss in history.history["loss"]]


def finder() -> LearningRateFinder:
    options = {"num_steps": 12, "batch_size": 16, "verbose": 0, "apply": False}
    return LearningRateFinder(X, Y, **options)


CALLBACKS: dict[str, Callable[[], list[Any]]] = {
    "schedules": lambda: [
        GradientClipper(global_norm=0.1),
        WeightAveraging(None, start=2, batch_norm_data=X),
        HyperparameterScheduler(
            {
                "learning_rate": schedules.ExponentialRamp(1e-4, 0.01, 8),
                "momentum": schedules.LinearRamp(0.5, 0.9, 8),
            }
        ),
    ],
    "a function": lambda: [
        HyperparameterScheduler({"learning_rate": lambda step: 0.01 * 0.9**step}),
    ],
    "range test": lambda: [finder()],
}


def test_what_watches_and_limits_trains_in_every_type(precision: float) -> None:
    callbacks = [
        GradientMonitor(),
        GradientMonitor(every=3, group="layer"),
        GradientClipper(value=0.1),
        GradientClipper(norm=0.1),
        MaxNormEnforcer(0.5),
        WeightAveraging(0.9),
        OneCycleScheduler(0.05),
    ]
    assert np.isfinite(fit(small_model(), *callbacks)).all()
    for monitor in callbacks[:2]:
        assert np.isfinite(monitor.history["norm"]).all()


@GLOBAL
@pytest.mark.alternates("precision", "name")
@pytest.mark.parametrize("name", CALLBACKS)
def test_callbacks_train_and_leave_the_rate_as_it_was(
    precision: float, name: str
) -> None:
    model = small_model()
    before = number(model.optimizer.learning_rate)
    assert np.isfinite(fit(model, *CALLBACKS[name]())).all()
    rate = model.optimizer.learning_rate
    assert number(rate) == before
    assert keras.backend.standardize_dtype(rate.dtype) == keras.config.floatx()


OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "SGD": lambda: keras.optimizers.SGD(0.01),
    "Adam": lambda: keras.optimizers.Adam(0.01),
    "accumulation and averages": lambda: keras.optimizers.AdamW(
        0.01, gradient_accumulation_steps=2, use_ema=True
    ),
}


@GLOBAL
@pytest.mark.alternates("precision", "kind")
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_the_rate_of_each_update_is_that_of_the_schedule(
    precision: float, kind: str
) -> None:
    callback = OneCycleScheduler(0.05, total_steps=8)
    fit(small_model(OPTIMIZERS[kind]()), callback)
    rates = callback.history["learning_rate"]
    expected = schedules.OneCycle(0.05, 8).values(np.arange(len(rates)))
    rates = np.asarray(rates, "float64")
    # The smallest are below what float16 resolves.
    np.testing.assert_allclose(rates, expected, rtol=precision, atol=precision * 2e-5)


@GLOBAL
def test_rates_by_layer_train(precision: float) -> None:
    model = small_model()
    optimizer = DiscriminativeLearningRates(
        keras.optimizers.Adam(0.01), groups=model, layer_decay=0.5
    )
    model.compile(optimizer, loss="mse")
    assert np.isfinite(fit(model, GradientMonitor(), OneCycleScheduler(0.05))).all()


@GLOBAL
def test_a_schedule_inside_the_optimizer_is_overruled(precision: float) -> None:
    callback = OneCycleScheduler(0.05, total_steps=8)
    model = small_model(keras.optimizers.SGD(schedules.Constant(0.01), 0.9))
    with pytest.warns(UserWarning, match="wins"):
        fit(model, callback)
    rates = callback.history["learning_rate"]
    expected = schedules.OneCycle(0.05, 8).values(np.arange(len(rates)))
    np.testing.assert_allclose(rates, expected, rtol=2e-6)


SCHEDULES: dict[str, Callable[[], Any]] = {
    "Constant": lambda: schedules.Constant(0.1),
    "ExponentialRamp": lambda: schedules.ExponentialRamp(1e-5, 1.0, 100),
    "LinearRamp": lambda: schedules.LinearRamp(1e-5, 1.0, 100),
    "OneCycle": lambda: schedules.OneCycle(0.1, 100),
    "OneCycleMomentum": lambda: schedules.OneCycleMomentum(100),
    "Exponential": lambda: schedules.Exponential(0.1, 0.97),
    "InverseTimePower": lambda: schedules.InverseTimePower(0.1, 10),
    "PiecewiseConstant": lambda: schedules.PiecewiseConstant([9, 40], [0.1, 0.3, 0.7]),
    "FlatCosine": lambda: schedules.FlatCosine(0.1, 100),
    "CosineRestarts": lambda: schedules.CosineRestarts(0.1, 30),
    "Warmup": lambda: schedules.Warmup(schedules.Constant(0.1), 30),
    "Scaled": lambda: schedules.Scaled(schedules.CosineRestarts(0.1, 30), 0.5),
    "Concatenation": lambda: schedules.Concatenation(
        [schedules.Constant(0.1), schedules.LinearRamp(0.1, 0.2, 40)], [30]
    ),
    "Triangular": lambda: schedules.Triangular(0.01, 0.1, 30),
}


def test_schedules_compute_in_float32_whatever_the_type(precision: float) -> None:
    steps = keras.ops.convert_to_tensor(np.arange(0, 100, 7), "int32")
    for name, make in SCHEDULES.items():
        schedule = make()
        values = schedule(steps)
        assert keras.backend.standardize_dtype(values.dtype) == "float32", name
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(values),
            schedule.values(np.arange(0, 100, 7)),
            rtol=2e-6,
            err_msg=name,
        )


def test_losses_of_the_range_test_are_those_of_gradient_descent(
    precision: float,
) -> None:
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(1, kernel_initializer="zeros")]
    )
    model.compile(keras.optimizers.SGD(0.01), loss="mse")
    found = find_learning_rate(
        model, X, Y, batch_size=32, max_learning_rate=0.1, num_steps=15, verbose=0
    )
    weights, losses = np.zeros((5, 1)), []
    x = np.hstack([X, np.ones((32, 1))]).astype("float64")
    for rate in found.learning_rates:
        error = x @ weights - Y
        losses.append(np.mean(error**2))
        weights = weights - rate * 2 * x.T @ error / 32
    exact = keras.config.dtype_policy().name == "float64"
    np.testing.assert_allclose(found.losses, losses, rtol=1e-5 if exact else 0.05)
    assert model.get_weights()[0].dtype == model.layers[0].kernel.dtype
    assert not np.asarray(model.get_weights()[0], "float32").any()


@GLOBAL
def test_the_monitor_records_the_norm_of_the_gradient(precision: float) -> None:
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(1, kernel_initializer="zeros")]
    )
    model.compile(keras.optimizers.SGD(0.0), loss="mse")
    monitor = GradientMonitor()
    model.fit(X, Y, batch_size=32, epochs=4, verbose=0, callbacks=[monitor])
    expected = np.linalg.norm(2 * X.T.astype("float64") @ -Y / 32)
    exact = keras.config.dtype_policy().name == "float64"
    rtol = 1e-5 if exact else 0.03
    assert monitor.history["norm"][0, 0] == pytest.approx(expected, rel=rtol)
