"""OneCycleScheduler against PyTorch's schedule and an eager numpy reference."""

import keras
import numpy as np
import pytest
import torch

from keras_deeptools import attach
from keras_deeptools.callbacks import HyperparameterScheduler, OneCycleScheduler
from keras_deeptools.schedules import Constant, LinearRamp

BACKEND = keras.backend.backend()
MODES = ["plain", "eager", "accumulation"]
if BACKEND != "torch":  # Keras has no steps_per_execution there.
    MODES.append("executions")
X = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
Y = (X @ np.array([[1.0], [-2.0], [0.5]]) + 0.3).astype("float32")


def linear_model(optimizer, **compile_options):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.layers[0].kernel.assign(np.array([[0.1], [0.2], [-0.1]], "float32"))
    model.compile(optimizer, loss="mse", **compile_options)
    return model


def torch_values(total_steps, peak, **options):
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, peak, total_steps=total_steps, **options
    )
    rates, momenta = [], []
    for step in range(total_steps):
        rates.append(optimizer.param_groups[0]["lr"])
        momenta.append(optimizer.param_groups[0]["momentum"])
        optimizer.step()
        if step + 1 < total_steps:
            schedule.step()
    return np.array(rates), np.array(momenta)


def reference_weights(kind, rates, momenta, batches):
    """Eager SGD (Keras' form of momentum) and Adam for a linear model, in float64."""
    w = np.array([0.1, 0.2, -0.1, 0.0])
    m, v = np.zeros(4), np.zeros(4)
    for t, (rate, momentum, batch) in enumerate(
        zip(rates, momenta, batches, strict=True)
    ):
        x = np.concatenate([X[batch], np.ones((len(batch), 1))], axis=1).astype("f8")
        gradient = 2 * x.T @ (x @ w - Y[batch, 0]) / len(batch)
        if kind == "sgd":
            m = momentum * m - rate * gradient
            w = w + m
        else:
            m = momentum * m + (1 - momentum) * gradient
            v = 0.999 * v + 0.001 * gradient**2
            alpha = rate * np.sqrt(1 - 0.999 ** (t + 1)) / (1 - momentum ** (t + 1))
            w = w - alpha * m / (np.sqrt(v) + 1e-7)
    return w


def weights_of(model):
    kernel, bias = model.get_weights()
    return np.concatenate([kernel[:, 0], bias])


def batches_for(num_updates, size):
    order = [np.arange(i, i + size) for i in range(0, len(X), size)]
    return [order[i % len(order)] for i in range(num_updates)]


@pytest.mark.alternates("shape", "three_phase")
@pytest.mark.parametrize("three_phase", [False, True])
@pytest.mark.parametrize("shape", ["cosine", "linear"])
def test_rate_and_momentum_equal_pytorch_at_every_step(shape, three_phase):
    one_cycle = OneCycleScheduler(0.1, shape=shape, three_phase=three_phase)
    model = linear_model(keras.optimizers.SGD(0.01, momentum=0.9))
    model.fit(X, Y, batch_size=4, epochs=10, callbacks=[one_cycle], verbose=0)
    rates, momenta = torch_values(
        100,
        0.1,
        anneal_strategy="cos" if shape == "cosine" else "linear",
        three_phase=three_phase,
    )
    history = one_cycle.history
    np.testing.assert_allclose(history["learning_rate"], rates, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(history["momentum"], momenta, rtol=1e-5)


@pytest.mark.alternates("kind", "mode")
@pytest.mark.parametrize("kind", ["sgd", "plain sgd", "adam"])
@pytest.mark.parametrize("mode", MODES)
def test_weights_after_100_updates_equal_an_eager_reference(kind, mode):
    options = {"gradient_accumulation_steps": 2} if mode == "accumulation" else {}
    optimizer = {
        "sgd": lambda: keras.optimizers.SGD(0.01, momentum=0.9, **options),
        "plain sgd": lambda: keras.optimizers.SGD(0.01, **options),
        "adam": lambda: keras.optimizers.Adam(0.01, **options),
    }[kind]()
    model = linear_model(
        optimizer,
        run_eagerly=mode == "eager",
        steps_per_execution=4 if mode == "executions" else 1,
    )
    size = 2 if mode == "accumulation" else 4
    one_cycle = OneCycleScheduler(0.02)
    model.fit(
        X,
        Y,
        batch_size=size,
        epochs=10,
        callbacks=[one_cycle],
        verbose=0,
        shuffle=False,
    )
    rates, momenta = torch_values(100, 0.02)
    form = "adam" if kind == "adam" else "sgd"
    expected = reference_weights(form, rates, momenta, batches_for(100, 4))
    assert len(one_cycle.steps) == 100
    np.testing.assert_allclose(weights_of(model), expected, atol=1e-5)


def one_cycle_fit(model, one_cycle, epochs=4, **options):
    options = {"batch_size": 4, "shuffle": False, "verbose": 0} | options
    callbacks = [*options.pop("before", []), one_cycle, *options.pop("after", [])]
    return model.fit(X, Y, epochs=epochs, callbacks=callbacks, **options)


class InterruptAfter(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.epoch:
            raise KeyboardInterrupt


def test_initial_epoch_continues_the_cycle():
    one_cycle = OneCycleScheduler(0.1)
    model = linear_model(keras.optimizers.Adam(0.01))
    one_cycle_fit(model, one_cycle, epochs=4, initial_epoch=3)
    rates, _ = torch_values(40, 0.1)
    np.testing.assert_allclose(
        one_cycle.history["learning_rate"], rates[30:], rtol=1e-5, atol=1e-7
    )


def test_a_second_fit_starts_a_new_cycle():
    one_cycle = OneCycleScheduler(0.1)
    model = linear_model(keras.optimizers.Adam(0.01))
    one_cycle_fit(model, one_cycle, epochs=1)
    one_cycle_fit(model, one_cycle, epochs=4)
    rates, _ = torch_values(40, 0.1)
    np.testing.assert_allclose(
        one_cycle.history["learning_rate"], rates, rtol=1e-5, atol=1e-7
    )


@pytest.mark.alternates("place", "fresh")
@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("fresh", [True, False])
def test_a_run_resumed_by_backup_and_restore_ends_with_the_same_weights(
    tmp_path, place, fresh
):
    whole = linear_model(keras.optimizers.Adam(0.01))
    one_cycle_fit(whole, OneCycleScheduler(0.1))

    model = linear_model(keras.optimizers.Adam(0.01))
    one_cycle = OneCycleScheduler(0.1)
    backup = keras.callbacks.BackupAndRestore(str(tmp_path / "backup"))
    callbacks = {place: [backup]}
    with pytest.raises(KeyboardInterrupt):
        after = [*callbacks.get("after", []), InterruptAfter(1)]
        one_cycle_fit(model, one_cycle, **callbacks | {"after": after})
    if fresh:
        model = linear_model(keras.optimizers.Adam(0.01))
        one_cycle = OneCycleScheduler(0.1)
    one_cycle_fit(model, one_cycle, **callbacks)

    assert len(one_cycle.steps) == 20
    np.testing.assert_allclose(weights_of(model), weights_of(whole), rtol=1e-6)


def test_the_rate_is_as_before_after_training():
    model = linear_model(keras.optimizers.Adam(0.0625))
    one_cycle_fit(model, OneCycleScheduler(0.1))
    assert float(model.optimizer.get_config()["learning_rate"]) == 0.0625


@pytest.mark.one_backend
def test_values_in_effect_reach_the_history_of_keras():
    model = linear_model(keras.optimizers.Adam(0.01))
    history = one_cycle_fit(model, OneCycleScheduler(0.1)).history
    rates, momenta = torch_values(40, 0.1)
    np.testing.assert_allclose(history["learning_rate"], rates[9::10], rtol=1e-5)
    np.testing.assert_allclose(history["beta_1"], momenta[9::10], rtol=1e-5)


@pytest.mark.one_backend
def test_data_of_unknown_length_needs_total_steps():
    def generator():
        while True:
            yield X[:4], Y[:4]

    model = linear_model(keras.optimizers.Adam(0.01))
    with pytest.raises(ValueError, match="`total_steps` must be given"):
        model.fit(
            generator(), callbacks=[OneCycleScheduler(0.1)], verbose=0, shuffle=False
        )


@pytest.mark.filterwarnings("ignore:Your input ran out of data:UserWarning")
def test_given_total_steps_serve_data_of_unknown_length():
    def generator():
        for i in range(5):
            yield X[i : i + 4], Y[i : i + 4]

    one_cycle = OneCycleScheduler(0.1, total_steps=5)
    model = linear_model(keras.optimizers.Adam(0.01))
    model.fit(generator(), callbacks=[one_cycle], verbose=0, shuffle=False)
    rates, _ = torch_values(5, 0.1)
    np.testing.assert_allclose(one_cycle.history["learning_rate"], rates, rtol=1e-5)


@pytest.mark.alternates("make")
@pytest.mark.filterwarnings("ignore:OneCycleScheduler")
@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda: keras.optimizers.Adagrad(0.01), ["learning_rate"]),
        (lambda: keras.optimizers.Adadelta(0.01), ["learning_rate"]),
        (lambda: keras.optimizers.Adafactor(0.01), ["learning_rate"]),
        (lambda: keras.optimizers.Ftrl(0.01), ["learning_rate"]),
        (lambda: keras.optimizers.Lion(0.01), ["learning_rate"]),
        (lambda: keras.optimizers.RMSprop(0.01), ["learning_rate"]),
        (
            lambda: keras.optimizers.RMSprop(0.01, momentum=0.5),
            ["learning_rate", "momentum"],
        ),
        (lambda: keras.optimizers.Adamax(0.01), ["learning_rate", "beta_1"]),
        (lambda: keras.optimizers.AdamW(0.01), ["learning_rate", "beta_1"]),
        (lambda: keras.optimizers.Nadam(0.01), ["learning_rate", "beta_1"]),
        (lambda: keras.optimizers.Lamb(0.01), ["learning_rate", "beta_1"]),
        (lambda: keras.optimizers.Muon(0.01), ["learning_rate", "momentum"]),
        (
            lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01)),
            ["learning_rate", "beta_1"],
        ),
        (
            lambda: keras.optimizers.MultiOptimizer(
                keras.optimizers.OptimizerMap(keras.optimizers.Adam(0.01))
            ),
            ["learning_rate", "beta_1"],
        ),
    ],
)
def test_each_optimizer_cycles_what_it_has(make, names):
    one_cycle = OneCycleScheduler(0.01)
    model = linear_model(make())
    one_cycle_fit(model, one_cycle, epochs=1)
    assert list(one_cycle.history) == names
    assert np.ptp(one_cycle.history[names[-1]]) > 0


@pytest.mark.one_backend
def test_an_optimizer_without_momentum_is_said_to_have_none():
    model = linear_model(keras.optimizers.Adagrad(0.01))
    with pytest.warns(UserWarning, match="Adagrad has no momentum to cycle"):
        one_cycle_fit(model, OneCycleScheduler(0.1), epochs=1)


def test_what_another_callback_assigns_multiplies_the_schedule():
    class Halve(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            optimizer = self.model.optimizer
            rate = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
            optimizer.learning_rate = rate / 2

    scheduler = HyperparameterScheduler({"learning_rate": Constant(0.08)})
    model = linear_model(keras.optimizers.SGD(0.01))
    one_cycle_fit(model, scheduler, epochs=3, after=[Halve()])
    np.testing.assert_allclose(
        scheduler.history["learning_rate"][::10], [0.08, 0.04, 0.02], rtol=1e-6
    )


def test_a_rate_built_as_a_schedule_is_replaced_and_comes_back():
    decay = keras.optimizers.schedules.ExponentialDecay(0.5, 10, 0.9)
    scheduler = HyperparameterScheduler({"learning_rate": LinearRamp(0.0, 0.1, 40)})
    model = linear_model(keras.optimizers.SGD(decay))
    with pytest.warns(UserWarning, match="HyperparameterScheduler wins"):
        one_cycle_fit(model, scheduler)
    np.testing.assert_allclose(
        scheduler.history["learning_rate"], np.linspace(0, 0.1, 40), rtol=1e-5
    )
    assert float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)) == (
        pytest.approx(0.5 * 0.9**4)
    )


@pytest.mark.one_backend
def test_weight_decay_none_cannot_be_scheduled():
    scheduler = HyperparameterScheduler({"weight_decay": Constant(0.1)})
    model = linear_model(keras.optimizers.SGD(0.01))
    with pytest.raises(ValueError, match="must be a number on the optimizer"):
        one_cycle_fit(model, scheduler)


@pytest.mark.one_backend
def test_two_schedules_for_one_hyperparameter_are_refused():
    model = linear_model(keras.optimizers.SGD(0.01, momentum=0.9))
    with pytest.raises(ValueError, match="can have one schedule"):
        one_cycle_fit(
            model,
            OneCycleScheduler(0.1),
            after=[HyperparameterScheduler({"momentum": Constant(0.5)})],
        )


def test_scheduled_weight_decay_decays_the_weights():
    scheduler = HyperparameterScheduler({"weight_decay": LinearRamp(0.0, 0.9, 10)})
    model = linear_model(keras.optimizers.SGD(0.1, weight_decay=0.01))
    model.fit(
        np.zeros((40, 3)),
        np.zeros((40, 1)),
        batch_size=4,
        callbacks=[scheduler],
        verbose=0,
    )
    shrink = np.prod(1 - 0.1 * np.linspace(0, 0.9, 10))
    np.testing.assert_allclose(
        weights_of(model)[:3], np.array([0.1, 0.2, -0.1]) * shrink, rtol=1e-5
    )


def test_one_attached_by_hand_needs_the_hooks_of_epochs_alone() -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", loss="mse")
    scheduler = OneCycleScheduler(0.1, total_steps=4)
    x, y = np.ones((4, 2)), np.ones((4, 1))
    with attach(model, scheduler):
        scheduler.set_model(model)
        scheduler.on_epoch_begin(0)
        for _ in range(4):
            model.train_on_batch(x, y)
        logs: dict = {}
        scheduler.on_epoch_end(0, logs)
    assert logs["learning_rate"] == scheduler.history["learning_rate"][-1]
