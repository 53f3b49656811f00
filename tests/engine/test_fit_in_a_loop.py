"""A `fit` in a loop finds its compiled step again, and only where it is the same."""

import gc
import weakref

import keras
import numpy as np
import pytest
from keras import layers

from keras_deeptools.callbacks import (
    GradientClipper,
    GradientMonitor,
    HyperparameterScheduler,
    MaxNormEnforcer,
    OneCycleScheduler,
    TrainingFeature,
    WeightAveraging,
)
from keras_deeptools.schedules import LinearRamp

pytestmark = pytest.mark.filterwarnings(
    "ignore:OneCycleScheduler. this is the second `fit`"
)
BACKEND = keras.backend.backend()
X = np.random.default_rng(0).normal(size=(14, 3)).astype("float32")
Y = (X @ np.array([[1.0], [-2.0], [0.5]])).astype("float32")


class Noting(layers.Layer):
    """Counts how often it is traced, or called where nothing is traced."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def call(self, inputs):
        self.calls.append(1)
        return inputs


def compiled(optimizer=None):
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((3,)),
            layers.Dense(4, activation="relu", name="body"),
            Noting(),
            layers.Dense(1, name="head"),
        ],
        name="network",
    )
    model.compile(optimizer or keras.optimizers.SGD(0.05, momentum=0.9), loss="mse")
    return model


def fit(model, *callbacks, **kwargs):
    model.fit(
        X, Y, batch_size=7, shuffle=False, verbose=0, callbacks=callbacks, **kwargs
    )


def traces(model, *callbacks, **kwargs):
    """How often a `fit` traces the model."""
    calls = model.layers[1].calls
    before = len(calls)
    fit(model, *callbacks, **kwargs)
    return len(calls) - before


CALLBACKS = {
    "monitor": lambda: [GradientMonitor(on_problem="ignore")],
    "clipper": lambda: [GradientClipper(norm=0.1)],
    "max norm": lambda: [MaxNormEnforcer(0.5)],
    "1cycle": lambda: [OneCycleScheduler(0.1, total_steps=20)],
    "momentum of its own": lambda: [
        HyperparameterScheduler({"momentum": LinearRamp(0.5, 0.9, 4)})
    ],
    "function": lambda: [
        HyperparameterScheduler({"learning_rate": lambda step: 0.1 * 0.9**step})
    ],
    "averages": lambda: [WeightAveraging(0.9)],
    "all": lambda: [
        GradientMonitor(on_problem="ignore"),
        GradientClipper(norm=0.1),
        OneCycleScheduler(0.1, total_steps=20),
        MaxNormEnforcer(0.5),
        WeightAveraging(0.9),
    ],
}


def optimizer_for(name):
    return keras.optimizers.SGD(0.05) if name == "momentum of its own" else None


@pytest.mark.alternates("name")
@pytest.mark.parametrize("name", CALLBACKS)
def test_every_fit_of_a_loop_is_as_one_that_is_traced_anew(name):
    def looped(forget):
        model, callbacks = compiled(optimizer_for(name)), CALLBACKS[name]()
        for _ in range(3):
            fit(model, *callbacks)
            if forget:
                model.make_train_function(force=True)
                vars(model).pop("_keras_deeptools_kept_trace", None)
        return model.get_weights(), callbacks[0]

    ours, first = looped(False)
    theirs, second = looped(True)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)
    for what in ("steps", "summary", "num_averaged", "num_updates"):
        found = [getattr(each, what, None) for each in (first, second)]
        if callable(found[0]):
            found = [summary() for summary in found]
        np.testing.assert_equal(*found)


if BACKEND != "torch":  # where nothing is traced
    # Reversed: on the backend whose turn it was not above.
    @pytest.mark.alternates("name")
    @pytest.mark.parametrize("name", [*CALLBACKS][::-1])
    def test_the_second_fit_with_the_same_callbacks_traces_nothing(name):
        model, callbacks = compiled(optimizer_for(name)), CALLBACKS[name]()
        assert traces(model, *callbacks) > 0
        assert traces(model, *callbacks) == 0

    def test_other_objects_with_the_same_arguments_find_the_step_too():
        model = compiled()
        fit(model, *CALLBACKS["all"]())
        assert traces(model, *CALLBACKS["all"]()) == 0

    CHANGES = {
        "another callback": lambda model: [GradientClipper(norm=0.1, value=0.5)],
        "one more": lambda model: [GradientClipper(norm=0.1), MaxNormEnforcer(0.5)],
        "other layers": lambda model: [GradientClipper(norm=0.1, layers="head")],
        "another optimizer": lambda model: model.compile("adam", loss="mse"),
        "another loss": lambda model: model.compile(model.optimizer, loss="mae"),
        "a frozen layer": lambda model: setattr(model.layers[0], "trainable", False),
        "a number on the optimizer": lambda model: setattr(
            model.optimizer, "clipnorm", 0.5
        ),
    }

    @pytest.mark.alternates("change")
    @pytest.mark.parametrize("change", CHANGES)
    def test_what_has_changed_is_traced_anew(change):
        model = compiled()
        fit(model, GradientClipper(norm=0.1))
        callbacks = CHANGES[change](model) or [GradientClipper(norm=0.1)]
        if change == "a frozen layer":
            model.compile("sgd", loss="mse")
        assert traces(model, *callbacks) > 0

    def test_a_schedule_with_other_numbers_is_traced_anew():
        model = compiled()
        fit(model, OneCycleScheduler(0.1, total_steps=20))
        assert traces(model, OneCycleScheduler(0.1, total_steps=30)) > 0

    def test_code_that_is_not_known_is_traced_anew():
        class Halve(TrainingFeature):
            def transform_gradients(self, state, leaf, gradients):
                return [gradient * 0.5 for gradient in gradients]

        model, halve = compiled(), Halve()
        fit(model, halve)
        assert traces(model, halve) > 0


def test_a_limit_that_was_set_between_two_fits_is_followed():
    model, clipper = compiled(keras.optimizers.SGD(1.0)), GradientClipper(value=1.0)
    fit(model, clipper)
    clipper.value = 1e-9
    before = model.get_weights()
    fit(model, clipper)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_model_whose_loss_is_scaled_is_served_in_every_fit():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = keras.Sequential([layers.Dense(4, activation="relu"), layers.Dense(1)])
        model.compile(keras.optimizers.SGD(0.01), loss="mse")
        monitor = GradientMonitor(on_problem="ignore")
        for _ in range(2):
            fit(model, monitor)
            assert len(monitor.steps) + monitor.skipped_updates == 2
    finally:
        keras.config.set_dtype_policy("float32")


def test_a_plain_fit_in_between_is_plain():
    def thrice(*callbacks):
        model = compiled()
        for chosen in ([], callbacks, [], callbacks, []):
            fit(model, *chosen)
        return model.get_weights()

    watching = GradientMonitor(on_problem="ignore")
    for one, other in zip(thrice(), thrice(watching), strict=True):
        np.testing.assert_array_equal(one, other)
    assert watching.steps.tolist() == [6, 7]


def test_a_last_batch_of_another_size_is_served_by_a_step_that_was_found_again():
    model, monitor = compiled(), GradientMonitor(on_problem="ignore")
    fit(model, monitor)
    model.fit(X, Y, batch_size=5, verbose=0, callbacks=[monitor])
    assert monitor.steps.tolist() == [2, 3, 4]
    assert np.isfinite(monitor.history["norm"]).all()


def test_an_error_in_one_fit_does_not_reach_the_next():
    class Break(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise KeyError("mine")

    model, monitor = compiled(), GradientMonitor(on_problem="ignore")
    fit(model, monitor)
    with pytest.raises(KeyError):
        fit(model, monitor, Break())
    fit(model, monitor)
    assert len(monitor.steps) == 2


def test_a_model_takes_what_was_kept_with_it():
    model = compiled()
    fit(model, GradientMonitor(on_problem="ignore"))
    gone = weakref.ref(model)
    del model
    keras.backend.clear_session()
    gc.collect()
    assert gone() is None


def test_files_written_after_a_loop_load_with_all_state(tmp_path):
    path = str(tmp_path / "model.weights.h5")
    model, monitor = compiled(), GradientMonitor(on_problem="ignore")
    for _ in range(2):
        fit(model, monitor)
    model.save_weights(path)
    other = compiled()
    other.optimizer.build(other.trainable_variables)
    other.load_weights(path)
    assert len(other.optimizer.variables) == len(model.optimizer.variables)
    assert int(other.optimizer.iterations) == 4
