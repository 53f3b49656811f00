"""Schedules for variables of the model, which its forward pass reads."""

import copy

import keras
import numpy as np
import pytest
from keras import ops

from keras_deeptools import attach
from keras_deeptools.callbacks import HyperparameterScheduler, OneCycleScheduler
from keras_deeptools.schedules import Constant, LinearRamp

BACKEND = keras.backend.backend()
X = np.random.default_rng(0).normal(size=(24, 3)).astype("float32")
Y = X[:, :1].copy()


class Scaled(keras.layers.Layer):
    """Multiplies by a variable, and counts what it sees."""

    def __init__(self, **options):
        super().__init__(**options)
        self.scale = keras.Variable(3.0, trainable=False, name="scale")
        self.seen = self.add_weight(
            shape=(40,), initializer="zeros", trainable=False, name="seen"
        )
        self.calls = self.add_weight(
            shape=(), initializer="zeros", dtype="int32", trainable=False, name="calls"
        )

    def call(self, inputs, training=False):
        if training:
            here = ops.cast(ops.arange(40) == self.calls, "float32")
            self.seen.assign(self.seen + here * self.scale)
            self.calls.assign(self.calls + 1)
        return inputs * self.scale


def scaled_model(optimizer=None, **options):
    layer = Scaled(name="scaled")
    model = keras.Sequential([keras.Input((3,)), layer, keras.layers.Dense(1)])
    optimizer = optimizer or keras.optimizers.SGD(0.001)
    model.compile(optimizer, loss="mse", **options)
    layer.calls.assign(0)
    layer.seen.assign(np.zeros(40))
    return model


def seen_by(model):
    layer = model.layers[0]
    return np.array(layer.seen)[: int(layer.calls)]


def fit(model, scheduler, *others, **options):
    options = {"batch_size": 6, "verbose": 0, "epochs": 3} | options
    # What Keras itself builds symbolically counts no calls.
    return model.fit(X, Y, callbacks=[scheduler, *others], **options)


def ramp(step):
    return 0.5 + 0.1 * step if step < 8 else 2.0


VALUES = np.array([ramp(step) for step in range(12)])


@pytest.mark.alternates("key")
@pytest.mark.parametrize("key", ["scale", "scaled/scale", "pair"])
def test_the_forward_pass_of_each_update_sees_its_value(key):
    model = scaled_model()
    schedules = {key: ramp}
    if key == "pair":
        schedules = [(model.layers[0].scale, ramp)]
    scheduler = HyperparameterScheduler(schedules)
    history = fit(model, scheduler).history
    np.testing.assert_allclose(seen_by(model), VALUES, rtol=1e-6)
    name = "scale" if key == "pair" else key
    np.testing.assert_allclose(scheduler.history[name], VALUES, rtol=1e-6)
    np.testing.assert_allclose(history[name], VALUES[3::4], rtol=1e-6)


def test_the_variable_has_its_own_value_again_after_training():
    model = scaled_model()
    fit(model, HyperparameterScheduler({"scale": ramp}))
    assert float(model.layers[0].scale) == 3.0
    assert "train_step" not in vars(model)
    assert "save_own_variables" not in vars(model.layers[0])


def test_several_steps_in_one_execution_see_a_value_each():
    # Keras has no steps_per_execution on torch.
    at_once = 1 if BACKEND == "torch" else 4
    model = scaled_model(steps_per_execution=at_once)
    fit(model, HyperparameterScheduler({"scale": ramp}))
    np.testing.assert_allclose(seen_by(model), VALUES, rtol=1e-6)


def test_all_batches_of_an_accumulated_update_see_one_value():
    optimizer = keras.optimizers.SGD(0.001, gradient_accumulation_steps=2)
    model = scaled_model(optimizer)
    scheduler = HyperparameterScheduler({"scale": ramp})
    fit(model, scheduler)
    np.testing.assert_allclose(seen_by(model), np.repeat(VALUES[:6], 2), rtol=1e-6)
    np.testing.assert_allclose(scheduler.history["scale"], VALUES[:6], rtol=1e-6)


@pytest.mark.one_backend
def test_a_resumed_run_goes_on_where_the_schedule_was():
    model = scaled_model()
    fit(model, HyperparameterScheduler({"scale": ramp}), initial_epoch=1)
    np.testing.assert_allclose(seen_by(model), VALUES[4:], rtol=1e-6)


def test_fits_in_a_row_begin_anew():
    model = scaled_model()
    scheduler = HyperparameterScheduler({"scale": ramp})
    fit(model, scheduler, epochs=1)
    fit(model, scheduler, epochs=2)
    expected = [*VALUES[:4], *VALUES[:8]]
    np.testing.assert_allclose(seen_by(model), expected, rtol=1e-6)


def test_train_on_batch_sets_the_variable_while_attached():
    model = scaled_model()
    scheduler = HyperparameterScheduler({"scale": lambda step: 0.5 + 0.1 * step})
    with attach(model, scheduler):
        for _ in range(3):
            model.train_on_batch(X[:6], Y[:6])
    np.testing.assert_allclose(seen_by(model), [0.5, 0.6, 0.7], rtol=1e-6)
    assert float(model.layers[0].scale) == 3.0


def test_the_model_learns_with_the_values_of_the_schedule():
    def trained(scheduler):
        keras.utils.set_random_seed(1)
        model = scaled_model()
        if scheduler is None:
            for step, start in enumerate([0, 6, 12, 18] * 2):
                model.layers[0].scale.assign(VALUES[step])
                model.train_on_batch(X[start : start + 6], Y[start : start + 6])
        else:
            fit(model, scheduler, epochs=2, shuffle=False)
        return model.layers[-1].get_weights()

    found = trained(HyperparameterScheduler({"scale": ramp}))
    for mine, reference in zip(found, trained(None), strict=True):
        np.testing.assert_allclose(mine, reference, atol=1e-6)


@pytest.mark.alternates("name")
@pytest.mark.parametrize("name", ["kl_weight", "beta"])
def test_a_loss_weight_held_by_the_model_is_followed_in_the_loss(name):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.kl_weight = keras.Variable(0.0, trainable=False, name="beta")

    def loss(y_true, y_pred):
        return 0.0 * y_pred[:, 0] + ops.convert_to_tensor(model.kl_weight)

    model.compile("sgd", loss=loss)
    scheduler = HyperparameterScheduler({name: LinearRamp(0.0, 1.0, 5)})
    losses = fit(model, scheduler, batch_size=24, epochs=7).history["loss"]
    np.testing.assert_allclose(losses, [0, 0.25, 0.5, 0.75, 1, 1, 1], atol=1e-6)


def make_vae():
    """A model with a train step of its own, as Keras' example of a VAE has one."""

    class VAE(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(3)
            self.kl_weight = keras.Variable(0.0, trainable=False)
            self.loss_tracker = keras.metrics.Mean(name="loss")
            self.weight_tracker = keras.metrics.Mean(name="weight")

        @property
        def metrics(self):
            return [self.loss_tracker, self.weight_tracker]

        def call(self, inputs):
            return self.dense(inputs)

        def compute_loss(self, x=None, y=None, y_pred=None, *others, **options):
            weight = ops.convert_to_tensor(self.kl_weight)
            self.weight_tracker.update_state(weight)
            return ops.mean((y_pred - x) ** 2) + weight * ops.mean(y_pred**2)

    vae = VAE()
    vae(X[:1])
    vae.compile(keras.optimizers.Adam(0.01))
    return vae


def test_an_attribute_of_a_subclassed_model_is_found_by_its_name():
    vae = make_vae()
    scheduler = HyperparameterScheduler(
        {"kl_weight": lambda step: min(1.0, step / 4), "learning_rate": Constant(0.02)}
    )
    vae.fit(X, X, batch_size=24, epochs=6, callbacks=[scheduler], verbose=0)
    expected = [0, 0.25, 0.5, 0.75, 1, 1]
    np.testing.assert_allclose(scheduler.history["kl_weight"], expected)
    np.testing.assert_allclose(scheduler.history["learning_rate"], [0.02] * 6)
    assert float(vae.kl_weight) == 0.0


def test_an_integer_variable_is_set_too():
    model = scaled_model()
    model.stage = keras.Variable(0, dtype="int32", trainable=False, name="stage")
    scheduler = HyperparameterScheduler({"stage": lambda step: step // 4})
    fit(model, scheduler)
    assert scheduler.history["stage"].tolist() == [0] * 4 + [1] * 4 + [2] * 4


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_a_variable_of_another_type_is_set_too(dtype):
    if BACKEND == "jax" and dtype == "float64":
        dtype = "float16"
    model = scaled_model()
    model.other = keras.Variable(3.0, dtype=dtype, trainable=False, name="other")
    scheduler = HyperparameterScheduler({"other": ramp})
    seen = []

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            value = ops.cast(self.model.other, "float32")
            seen.append(float(ops.convert_to_numpy(value)))

    fit(model, scheduler, Look())
    np.testing.assert_allclose(seen, VALUES[3::4], rtol=0.01)
    np.testing.assert_allclose(scheduler.history["other"], VALUES, rtol=1e-6)
    assert float(ops.convert_to_numpy(ops.cast(model.other, "float32"))) == 3.0


def test_one_cycle_and_a_variable_go_together():
    model = scaled_model()
    scheduler = HyperparameterScheduler({"scale": ramp})
    fit(model, scheduler, OneCycleScheduler(0.001))
    np.testing.assert_allclose(seen_by(model), VALUES, rtol=1e-6)


def test_two_schedulers_for_two_variables_come_off_in_any_order():
    model = scaled_model()
    model.other = keras.Variable(5.0, trainable=False, name="other")
    first = HyperparameterScheduler({"scale": lambda step: 0.5})
    second = HyperparameterScheduler({"other": lambda step: 0.25})
    one = attach(model, first)
    two = attach(model, second)
    model.train_on_batch(X[:6], Y[:6])
    one.detach()
    assert float(model.layers[0].scale) == 3.0
    model.train_on_batch(X[:6], Y[:6])
    two.detach()
    np.testing.assert_allclose(seen_by(model), [0.5, 3.0])
    assert float(model.other) == 5.0
    assert second.history["other"].tolist() == [0.25, 0.25]


# Files and copies


def test_files_saved_meanwhile_hold_the_variables_own_value(tmp_path):
    model = scaled_model()
    path = str(tmp_path / "at{epoch}.weights.h5")
    checkpoint = keras.callbacks.ModelCheckpoint(path, save_weights_only=True)
    fit(model, HyperparameterScheduler({"scale": ramp}), checkpoint)
    np.testing.assert_allclose(seen_by(model), VALUES, rtol=1e-6)
    other = scaled_model()
    other.layers[0].scale.assign(7.0)
    other.load_weights(path.format(epoch=2))
    assert float(other.layers[0].scale) == 3.0


class InterruptAfter(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt


@pytest.mark.alternates("first")
@pytest.mark.parametrize("first", ["backup", "scheduler"])
def test_a_run_that_is_restored_ends_as_one_that_was_not_interrupted(tmp_path, first):
    def callbacks():
        backup = keras.callbacks.BackupAndRestore(str(tmp_path / "backup"))
        scheduler = HyperparameterScheduler({"scale": ramp})
        both = [backup, scheduler]
        return both if first == "backup" else both[::-1]

    with pytest.raises(KeyboardInterrupt):
        fit(scaled_model(), *callbacks(), InterruptAfter())
    model = scaled_model()
    fit(model, *callbacks())
    np.testing.assert_allclose(seen_by(model), VALUES, rtol=1e-6)
    assert float(model.layers[0].scale) == 3.0


def test_early_stopping_restores_no_value_of_the_schedule():
    model = scaled_model()
    stopping = keras.callbacks.EarlyStopping(
        monitor="loss", restore_best_weights=True, mode="max"
    )
    fit(model, HyperparameterScheduler({"scale": ramp}), stopping)
    assert float(model.layers[0].scale) == 3.0


def test_after_an_interrupted_fit_the_next_call_finds_the_own_value():
    model = scaled_model()
    with pytest.raises(KeyboardInterrupt):
        fit(model, HyperparameterScheduler({"scale": ramp}), InterruptAfter())
    model.predict(X, verbose=0)
    assert float(model.layers[0].scale) == 3.0


@pytest.mark.one_backend
def test_a_copy_follows_the_variable_of_that_name_in_another_model():
    model = scaled_model()
    scheduler = HyperparameterScheduler([(model.layers[0].scale, Constant(0.5))])
    twin = copy.deepcopy(scheduler)
    config = keras.saving.serialize_keras_object(scheduler)
    loaded = keras.saving.deserialize_keras_object(config)
    for each in (twin, loaded):
        other = scaled_model()
        fit(other, each, epochs=1)
        np.testing.assert_allclose(seen_by(other), [0.5] * 4)


# What is refused


def refused(model, schedules, match):
    before = model.get_weights()
    with pytest.raises(ValueError, match=match):
        fit(model, HyperparameterScheduler(schedules))
    for mine, reference in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, reference)
    assert "train_step" not in vars(model)


@pytest.mark.one_backend
def test_a_trained_variable_is_refused():
    model = scaled_model()
    bias = model.layers[-1].bias
    model.own = keras.Variable(1.0, name="own")
    refused(model, [(bias, ramp)], "must not be trained")
    refused(model, {"own": ramp}, "must not be trained")


@pytest.mark.one_backend
def test_a_variable_that_the_model_does_not_hold_is_refused():
    variable = keras.Variable(1.0, trainable=False, name="outside")
    refused(scaled_model(), [(variable, ramp)], "must be held by the model")


@pytest.mark.one_backend
def test_a_vector_is_refused():
    refused(scaled_model(), {"seen": ramp}, "must be a scalar")


@pytest.mark.one_backend
def test_a_name_that_fits_nothing_is_told_what_there_is():
    refused(
        scaled_model(), {"scal": ramp}, "SGD does not have.*'learning_rate'.*'scale'"
    )


@pytest.mark.one_backend
def test_a_name_that_fits_two_variables_is_refused():
    layers = [Scaled(name="one"), Scaled(name="two"), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((3,)), *layers])
    model.compile("sgd", loss="mse")
    refused(model, {"scale": ramp}, "Choose from one/scale, two/scale")


@pytest.mark.one_backend
def test_the_layers_name_tells_two_variables_apart():
    layers = [Scaled(name="one"), Scaled(name="two"), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((3,)), *layers])
    model.compile("sgd", loss="mse")
    layers[1].seen.assign(np.zeros(40))
    layers[1].calls.assign(0)
    fit(model, HyperparameterScheduler({"two/scale": ramp}), epochs=1)
    np.testing.assert_allclose(np.array(layers[1].seen)[:4], VALUES[:4], rtol=1e-6)


def test_an_optimizer_without_a_model_has_no_variables_to_schedule():
    optimizer = keras.optimizers.SGD(0.1)
    optimizer.build([keras.Variable(1.0)])
    variable = keras.Variable(1.0, trainable=False)
    with pytest.raises(ValueError, match="Pass the model to `attach`"):
        attach(optimizer, HyperparameterScheduler([(variable, ramp)]))


@pytest.mark.one_backend
def test_one_variable_has_one_schedule():
    first = HyperparameterScheduler({"scale": ramp})
    second = HyperparameterScheduler({"scale": Constant(1.0)})
    with pytest.raises(ValueError, match="can have one schedule"):
        fit(scaled_model(), first, second)


@pytest.mark.one_backend
def test_one_name_has_one_schedule():
    one, two = (keras.Variable(1.0, trainable=False, name="same") for _ in range(2))
    with pytest.raises(ValueError, match="Make variables with `name=`"):
        HyperparameterScheduler([(one, ramp), (two, ramp)])


# Models that the first step builds


class Gate(keras.layers.Layer):
    """A layer whose variable is made when it is built."""

    def build(self, shape):
        self.gate = self.add_weight(
            shape=(), initializer="ones", trainable=False, name="gate"
        )

    def call(self, inputs):
        return inputs * self.gate


def test_a_model_that_is_not_built_follows_from_its_first_step():
    layer = Scaled(name="scaled")
    model = keras.Sequential([layer, Gate(), keras.layers.Dense(1)])
    model.compile("sgd", loss="mse")
    scheduler = HyperparameterScheduler({"scale": ramp, "gate": lambda step: 0.5})
    fit(model, scheduler)
    calls = int(layer.calls)
    np.testing.assert_allclose(
        np.array(layer.seen)[calls - 12 : calls], VALUES, rtol=1e-6
    )
    assert float(layer.scale) == 3.0
    assert float(model.layers[1].gate) == 1.0
