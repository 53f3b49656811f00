"""Every callback does to a model that `fit` builds what it does to one that was built.

JAX and torch build before the callbacks begin, TensorFlow inside the first step.
"""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_deeptools.callbacks import (
    GradientClipper,
    GradientMonitor,
    HyperparameterScheduler,
    LearningRateFinder,
    MaxNormEnforcer,
    OneCycleScheduler,
    WeightAveraging,
)
from keras_deeptools.schedules import LinearRamp
from keras_deeptools.transfer import GradualUnfreezing
from keras_deeptools.tuning import HopelessTrialStopper

BACKEND = keras.backend.backend()
X = np.random.default_rng(0).normal(size=(14, 3)).astype("float32")
Y = (X @ np.array([[1.0], [-2.0], [0.5]])).astype("float32")


def unbuilt():
    return keras.Sequential(
        [
            layers.Dense(4, activation="relu", name="body"),
            layers.BatchNormalization(name="norm"),
            layers.Dense(1, name="head"),
        ]
    )


def built():
    model = unbuilt()
    model.build((None, 3))
    return model


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.all_layers = [layers.Dense(4, name="body"), layers.Dense(1, name="head")]

    def call(self, inputs):
        for layer in self.all_layers:
            inputs = layer(inputs)
        return inputs


def trained(make, *callbacks, initial_epoch=0, **compiled):
    keras.utils.set_random_seed(3)
    model = make()
    model.compile(keras.optimizers.Adam(0.05), loss="mse", **compiled)
    history = model.fit(
        X,
        Y,
        batch_size=8,
        epochs=3,
        initial_epoch=initial_epoch,
        verbose=0,
        validation_data=(X, Y),
        callbacks=list(callbacks),
    )
    return model, history.history


CALLBACKS = {
    "monitor": lambda: GradientMonitor(on_problem="ignore"),
    "clipper": lambda: GradientClipper(value=0.5, norm=0.1, global_norm=0.1),
    "clipper of one layer": lambda: GradientClipper(norm=0.1, layers="head"),
    "max norm": lambda: MaxNormEnforcer(0.5),
    "1cycle": lambda: OneCycleScheduler(0.1),
    "ramp": lambda: HyperparameterScheduler({"beta_1": LinearRamp(0.5, 0.9, 4)}),
    "function": lambda: HyperparameterScheduler(
        {"learning_rate": lambda step: 0.1 * 0.9**step}
    ),
    "averages": lambda: WeightAveraging(0.9),
    "averages from the second epoch on": lambda: WeightAveraging(0.9, start=1),
    "unfreezing": lambda: GradualUnfreezing(epochs=1, num_groups=2),
    "stopper": lambda: HopelessTrialStopper(),
    "range test": lambda: LearningRateFinder(X, Y, num_steps=20, verbose=0),
}


@pytest.mark.parametrize("name", CALLBACKS)
def test_an_unbuilt_model_trains_as_one_that_was_built(name):
    ours, history = trained(unbuilt, CALLBACKS[name]())
    theirs, expected = trained(built, CALLBACKS[name]())
    assert history == expected
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def everything():
    return [
        GradientMonitor(on_problem="ignore"),
        GradientClipper(norm=0.1),
        OneCycleScheduler(0.1),
        MaxNormEnforcer(0.5),
        WeightAveraging(0.9),
    ]


@pytest.mark.parametrize("make", [unbuilt, Subclassed])
def test_all_together_see_every_update_of_the_first_epoch(make):
    monitor, clipper, one_cycle, enforcer, averaging = callbacks = everything()
    _, history = trained(make, *callbacks)
    assert monitor.steps.tolist() == list(range(6))
    assert np.isfinite(history["gradient_norm"]).all()
    assert clipper.num_updates == averaging.num_averaged == 6
    assert one_cycle.steps.tolist() == list(range(6))
    assert enforcer.activity.keys()


def test_the_same_objects_serve_another_unbuilt_model():
    callbacks = everything()
    first, _ = trained(unbuilt, *callbacks)
    second, _ = trained(unbuilt, *callbacks)
    assert callbacks[0].steps.tolist() == list(range(6))
    for one, other in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_monitor_reads_once_an_epoch_from_the_first_epoch_on(monkeypatch):
    reads = []
    examine = GradientMonitor._examine
    monkeypatch.setattr(
        GradientMonitor,
        "_examine",
        lambda self, loss: (reads.append(loss), examine(self, loss)),
    )
    model = unbuilt()
    model.compile("sgd", loss="mse")
    model.fit(X, Y, batch_size=1, verbose=0, callbacks=[GradientMonitor()])
    # The first batch, before anything is known, and the end of the epoch.
    assert len(reads) <= 2


def test_a_resumed_cycle_goes_on_where_it_was_in_an_unbuilt_model():
    whole, rest = OneCycleScheduler(0.1), OneCycleScheduler(0.1)
    trained(unbuilt, whole)
    trained(unbuilt, rest, initial_epoch=1)
    np.testing.assert_allclose(
        rest.history["learning_rate"], whole.history["learning_rate"][2:], rtol=1e-6
    )


def test_averages_that_begin_before_the_first_epoch_of_this_run_count_from_it():
    averaging = WeightAveraging(0.9, start=1)
    trained(unbuilt, averaging, initial_epoch=2)
    assert averaging.num_averaged == 2


def test_an_argument_that_fits_nothing_is_refused_before_any_update():
    model = unbuilt()
    model.compile("adam", loss="mse")
    clipper = GradientClipper(norm=0.1, layers="no_such_layer")
    with pytest.raises(ValueError, match="must match layers that have weights"):
        model.fit(X, Y, verbose=0, callbacks=[clipper])
    assert int(ops.convert_to_numpy(model.optimizer.iterations)) == 0
    model.fit(X, Y, verbose=0, callbacks=[GradientClipper(norm=0.1)])
    assert int(ops.convert_to_numpy(model.optimizer.iterations)) == 1


def test_a_hyperparameter_that_is_none_is_refused_and_its_scheduler_can_be_used_again():
    model = unbuilt()
    model.compile("adam", loss="mse")
    scheduler = HyperparameterScheduler({"momentum": LinearRamp(0.5, 0.9, 4)})
    with pytest.raises(ValueError, match="must be a number on the optimizer"):
        model.fit(X, Y, verbose=0, callbacks=[scheduler])
    model.compile(keras.optimizers.SGD(momentum=0.9), loss="mse")
    model.fit(X, Y, verbose=0, callbacks=[scheduler])
    assert len(scheduler.history["momentum"]) == 1


class Weighted(keras.Model):
    """Has a variable of its own that is scheduled."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(1)
        self.weight = keras.Variable(7.0, trainable=False, name="weight")

    def call(self, inputs):
        return self.dense(inputs) * self.weight


def weighted_and_built():
    model = Weighted()
    model(X)
    return model


def test_a_variable_of_an_unbuilt_model_is_scheduled_from_the_first_step_on():
    def schedule():
        return HyperparameterScheduler({"weight": LinearRamp(0.0, 1.0, 6)})

    ours, _ = trained(Weighted, schedule())
    theirs, _ = trained(weighted_and_built, schedule())
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


if BACKEND == "tensorflow":
    import tensorflow as tf

    class Autoencoder(keras.Model):
        """Of networks that are built, with a step of its own and no `call`."""

        def __init__(self):
            super().__init__()
            self.network = keras.Sequential([keras.Input((3,)), layers.Dense(3)])
            self.weight = keras.Variable(7.0, trainable=False, name="weight")

        def train_step(self, data):
            with tf.GradientTape() as tape:
                error = ops.mean(ops.square(self.network(data) - data))
                loss = error * self.weight
            weights = self.trainable_weights
            self.optimizer.apply(tape.gradient(loss, weights), weights)
            return {"weight": self.weight + 0.0}

    @pytest.mark.parametrize("optimizer", ["sgd", "adam"])
    def test_a_step_that_builds_the_optimizer_alone_is_scheduled_from_the_first_on(
        optimizer,
    ):
        seen = []
        model = Autoencoder()
        model.compile(optimizer)
        note = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs: seen.append(float(logs["weight"]))
        )
        ramp = HyperparameterScheduler({"weight": LinearRamp(0.0, 1.0, 5)})
        model.fit(X, batch_size=4, verbose=0, callbacks=[ramp, note])
        np.testing.assert_allclose(seen, [0.0, 0.25, 0.5, 0.75], rtol=1e-6)
