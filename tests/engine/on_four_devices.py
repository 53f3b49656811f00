"""The same training on one device and, in two ways, on four; a program, on JAX.

Run with names of cases, it prints as JSON by how much the results differ.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import distribution, layers

from keras_deeptools.callbacks import (
    GradientClipper,
    GradientMonitor,
    HyperparameterScheduler,
    MaxNormEnforcer,
    OneCycleScheduler,
    WeightAveraging,
    find_learning_rate,
)
from keras_deeptools.diagnosis import audit, signal_propagation
from keras_deeptools.engine._keras_private.layers import value_of
from keras_deeptools.initializers import lsuv
from keras_deeptools.layers import update_batch_norm
from keras_deeptools.transfer import (
    DiscriminativeLearningRates,
    GradualUnfreezing,
    freeze,
    unfreeze,
)
from keras_deeptools.uncertainty import mc_predict

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(32, 8)).astype("float32")
Y = RANDOM.integers(0, 4, 32)
QUIET: dict[str, Any] = {"batch_size": 16, "verbose": 0}

Result = tuple[keras.Model, list[Any]]


def spread_over(devices: list[str], kind: str) -> Any:
    """Copies of the model on all devices, or weights that are split in two."""
    if kind == "data":
        return distribution.DataParallel(devices=devices)
    mesh = distribution.DeviceMesh((2, 2), ("batch", "model"), devices)
    layouts = distribution.LayoutMap(mesh)
    layouts[".*first/kernel"] = (None, "model")
    layouts[".*first/bias"] = ("model",)
    layouts[".*second/kernel"] = ("model", None)
    return distribution.ModelParallel(layout_map=layouts, batch_dim_name="batch")


def make_model(optimizer: Any = None) -> keras.Model:
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8,)),
            layers.Dense(16, "relu", name="first"),
            layers.Dropout(0.2),
            # Without a bias, whose gradient is nothing but rounding here.
            layers.Dense(12, use_bias=False, name="second"),
            layers.BatchNormalization(),
            layers.Dense(4, "softmax", name="top"),
        ]
    )
    optimizer = optimizer or keras.optimizers.SGD(0.1, momentum=0.9)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    return model


def fit(model: keras.Model, callbacks: Sequence[Any] = (), epochs: int = 2) -> Any:
    return model.fit(X, Y, epochs=epochs, callbacks=list(callbacks), **QUIET)


def trained(*callbacks: Any, optimizer: Any = None) -> Result:
    model = make_model(optimizer)
    history = fit(model, callbacks)
    return model, list(history.history.values())


def gradient_monitor() -> Result:
    monitor = GradientMonitor()
    model, numbers = trained(monitor)
    return model, [*numbers, monitor.global_norms, *monitor.history.values()]


def one_cycle() -> Result:
    return trained(OneCycleScheduler(0.2))


def scheduler() -> Result:
    functions = {"learning_rate": lambda n: 0.1 / (n + 1), "momentum": lambda n: n / 9}
    return trained(HyperparameterScheduler(functions))


def clipper() -> Result:
    clipping = GradientClipper(global_norm=0.3, norm=0.2, value=0.05)
    model, numbers = trained(clipping)
    return model, [*numbers, *clipping.history.values()]


def max_norm() -> Result:
    enforcer = MaxNormEnforcer(0.7)
    return trained(enforcer)


def averaging() -> Result:
    return trained(WeightAveraging(0.9))


def uniform_averaging() -> Result:
    return trained(WeightAveraging(None, start=1, batch_norm_data=X))


def everything() -> Result:
    inner = keras.optimizers.Adam(0.01, gradient_accumulation_steps=2, use_ema=True)
    return trained(
        GradientMonitor(),
        OneCycleScheduler(0.02),
        GradientClipper(norm=0.2),
        MaxNormEnforcer(0.7),
        WeightAveraging(0.9),
        optimizer=keras.optimizers.LossScaleOptimizer(inner),
    )


def group_rates() -> Result:
    model = make_model()
    groups = [[model.layers[0]], [model.layers[2]], model.layers[3:]]
    inner = keras.optimizers.AdamW(weight_decay=0.01)
    optimizer = DiscriminativeLearningRates(inner, [1e-3, 1e-2, 5e-2], groups)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    return model, list(fit(model, [MaxNormEnforcer(0.7)]).history.values())


def freezing() -> Result:
    model = make_model()
    fit(model)
    freeze(model, "first")
    fit(model, [WeightAveraging(0.5)])
    unfreeze(model, "first")
    fit(model, [WeightAveraging(0.5)])
    return model, []


def gradual_unfreezing() -> Result:
    model = make_model()
    others = [MaxNormEnforcer(0.7), WeightAveraging(0.9), GradientClipper(norm=0.2)]
    fit(model, [GradualUnfreezing(epochs=[1, 2]), *others], epochs=3)
    return model, []


def range_test() -> Result:
    model = make_model()
    test = find_learning_rate(model, X, Y, num_steps=10, **QUIET)
    return model, [test.losses]


def monte_carlo() -> Result:
    model = make_model()
    fit(model)
    prediction = mc_predict(model, X, 10, seed=1, verbose=0)
    return model, [prediction.mean, prediction.std]


def diagnoses() -> Result:
    model = make_model()
    signals = signal_propagation(model, X, Y)
    stds = [layer.std for layer in signals.layers]
    return model, [stds, [signals.loss], [len(audit(model, X).findings)]]


def scaling() -> Result:
    model = make_model()
    lsuv(model, X, orthogonal=True, seed=0, verbose=0)
    update_batch_norm(model, X)
    return model, []


class Interruption(keras.callbacks.Callback):
    """Ends training at the beginning of an epoch."""

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        if epoch == 1:
            raise KeyboardInterrupt


def resumed() -> Result:
    """Zeros where a `fit` that was broken off goes on as if it had not been."""
    folder = tempfile.mkdtemp()
    backup = [keras.callbacks.BackupAndRestore(folder)]

    def run(*others: Any) -> keras.Model:
        model = make_model()
        ours = [OneCycleScheduler(0.2), MaxNormEnforcer(0.7), WeightAveraging(0.9)]
        model.fit(X, Y, epochs=2, shuffle=False, callbacks=[*ours, *others], **QUIET)
        return model

    whole = run()
    try:
        run(*backup, Interruption())
    except KeyboardInterrupt:
        pass
    return whole, [
        np.subtract(a, b).ravel()
        for a, b in zip(run(*backup).get_weights(), whole.get_weights(), strict=True)
    ]


def saved() -> Result:
    """Zeros where a file holds what the averages were when it was written."""
    folder = Path(tempfile.mkdtemp())
    checkpoint = keras.callbacks.ModelCheckpoint(str(folder / "{epoch}.keras"))
    model = make_model()
    fit(model, [WeightAveraging(0.9), MaxNormEnforcer(0.7), checkpoint])
    copy = keras.models.load_model(folder / "2.keras")
    pairs = zip(copy.get_weights(), model.get_weights(), strict=True)
    differences = [np.subtract(a, b).ravel() for a, b in pairs]
    assert len(copy.optimizer.variables) == len(model.optimizer.variables)
    assert [where(v) for v in copy.variables] == [where(v) for v in model.variables]
    return model, differences


class Placement(keras.callbacks.Callback):
    """Looks where the averages of weights lie."""

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.model.jax_state_sync()
        found = [v for v in self.model.optimizer.variables if v.name == "average"]
        weights = self.model.trainable_variables
        assert [where(v) for v in found] == [where(v) for v in weights]
        counts = [v for v in self.model.optimizer.variables if v.name == "averaging"]
        assert all(value_of(v).is_fully_replicated for v in counts)


def where(variable: Any) -> tuple[Any, ...]:
    """The axis of devices that each axis is split over; JAX may leave out the last."""
    spec = list(getattr(value_of(variable).sharding, "spec", None) or ())
    while spec and spec[-1] is None:
        spec.pop()
    return tuple(spec)


def placed() -> Result:
    model, numbers = trained(WeightAveraging(0.9), Placement())
    split = "model" in where(model.layers[0].kernel)
    kind = type(distribution.distribution()).__name__
    assert split == (kind == "ModelParallel")
    return model, numbers


def compare(case: Callable[[], Result], devices: list[str]) -> dict[str, float]:
    """The largest difference of any number from one device, by distribution."""
    model, numbers = case()
    expected = [*model.get_weights(), *numbers]
    found = {}
    for kind in ("data", "model"):
        with spread_over(devices, kind).scope():
            model, numbers = case()
            results = [*model.get_weights(), *numbers]
        pairs = zip(results, expected, strict=True)
        gaps = [np.abs(np.subtract(a, b, dtype="float64")) for a, b in pairs]
        found[kind] = max(float(np.max(gap, initial=0.0)) for gap in gaps)
    return found


if __name__ == "__main__":
    four = distribution.list_devices()
    assert len(four) == 4, four
    chosen = {name: compare(globals()[name], four) for name in sys.argv[1:]}
    print(json.dumps(chosen))
