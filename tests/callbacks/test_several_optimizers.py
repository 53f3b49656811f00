"""Callbacks on models whose own train step uses several optimizers."""

import keras
import numpy as np
import pytest

from keras_deeptools import attach
from keras_deeptools.callbacks import (
    GradientClipper,
    GradientMonitor,
    HyperparameterScheduler,
    MaxNormEnforcer,
    OneCycleScheduler,
    TrainingFeature,
    WeightAveraging,
)
from keras_deeptools.engine._update.model_optimizers import model_optimizers
from keras_deeptools.schedules import LinearRamp, OneCycle
from keras_deeptools.transfer import DiscriminativeLearningRates, GradualUnfreezing
from two_networks import (
    LEFT,
    RIGHT,
    TwoNetworks,
    X,
    Y,
    fit,
    kernels,
    trajectory,
)

SGD = keras.optimizers.SGD
RATES = 8 * [0.1]


def within(limit):
    return lambda gradient: gradient * min(1, limit / np.linalg.norm(gradient))


def two(**options):
    return TwoNetworks(SGD(0.1), SGD(0.1), **options)


def assert_ends_at(model, left, right, **tolerance):
    tolerance = {"rtol": 1e-4, "atol": 1e-6} | tolerance
    for actual, expected in zip(kernels(model), (left, right), strict=True):
        np.testing.assert_allclose(actual, expected, **tolerance)


@pytest.mark.parametrize("way", ["scope", "tracked", "handed"])
def test_one_of_two_optimizers_is_clipped_when_it_is_named(way):
    model = two(way=way)
    clipper = GradientClipper(global_norm=0.5, optimizer="left_optimizer")
    fit(model, clipper)
    left = trajectory(LEFT, RATES, within(0.5))[-1]
    assert_ends_at(model, left, trajectory(RIGHT, RATES)[-1])
    assert clipper.num_updates == 8
    assert clipper.fractions["left_optimizer_global_norm"] > 0.5


@pytest.mark.alternates("choice")
@pytest.mark.parametrize("choice", [None, "all", ["left_optimizer", "right_optimizer"]])
def test_by_default_all_that_the_train_step_uses_are_acted_on(choice):
    model = two()
    clipper = GradientClipper(global_norm=0.5, optimizer=choice)
    fit(model, clipper)
    counted = {
        f"{side}_optimizer_{kind}"
        for side in ("left", "right")
        for kind in ("global_norm", "non_finite")
    }
    assert set(clipper.fractions) == set(clipper.history) == counted
    expected = [trajectory(k, RATES, within(0.5))[-1] for k in (LEFT, RIGHT)]
    assert_ends_at(model, *expected)


def test_an_optimizer_can_be_given_itself():
    model = two()
    fit(model, GradientClipper(global_norm=0.5, optimizer=model.right_optimizer))
    right = trajectory(RIGHT, RATES, within(0.5))[-1]
    assert_ends_at(model, trajectory(LEFT, RATES)[-1], right)


class InContainers(TwoNetworks):
    """Keeps its optimizers in a list and in a dict."""

    def __init__(self, *optimizers):
        super().__init__(*optimizers)
        self.listed, self.named = [self.left_optimizer], {"r": self.right_optimizer}
        del self.left_optimizer, self.right_optimizer

    def updates(self):
        yield self.left, self.listed[0]
        yield self.right, self.named["r"]


@pytest.mark.alternates("choice")
@pytest.mark.parametrize(
    ("choice", "acts"),
    [
        ("listed[0]", (True, False)),
        ("named['r']", (False, True)),
        ("listed", (True, False)),
        (None, (True, True)),
    ],
)
def test_optimizers_in_lists_and_dicts_are_acted_on(choice, acts):
    model = InContainers(SGD(0.1), SGD(0.1))
    fit(model, GradientClipper(global_norm=0.5, optimizer=choice))
    expected = [
        trajectory(kernel, RATES, within(0.5) if act else lambda g: g)[-1]
        for kernel, act in zip((LEFT, RIGHT), acts, strict=True)
    ]
    assert_ends_at(model, *expected)


def norms_of(kernel):
    weights = trajectory(kernel, RATES)
    changes = np.diff(np.stack(weights), axis=0)
    return np.linalg.norm(changes / 0.1, axis=(1, 2))


def test_each_monitor_records_the_optimizer_that_it_is_for():
    model = two()
    monitors = [
        GradientMonitor(optimizer=name, on_problem="ignore")
        for name in ("left_optimizer", "right_optimizer")
    ]
    logs = fit(model, *monitors).history
    for name, kernel, monitor in zip(
        ("left", "right"), (LEFT, RIGHT), monitors, strict=True
    ):
        expected = norms_of(kernel)
        np.testing.assert_allclose(monitor.global_norms, expected, rtol=1e-4)
        assert monitor.variables == [f"{name}/{name}_dense/kernel"]
        means = expected.reshape(2, 4).mean(axis=1)
        np.testing.assert_allclose(
            logs[f"{name}_optimizer_gradient_norm"], means, rtol=1e-4
        )
    assert "gradient_norm" not in logs


def test_one_monitor_tells_the_optimizers_apart():
    model = two(right_updates=2)
    monitor = GradientMonitor(on_problem="ignore")
    logs = fit(model, monitor).history
    assert monitor.variables == ["left/left_dense/kernel", "right/right_dense/kernel"]
    counts = (~np.isnan(monitor.history["norm"])).sum(axis=0)
    assert counts.tolist() == [8, 16]
    assert monitor.steps.tolist() == list(range(16))
    of_left, of_right = norms_of(LEFT), monitor.history["norm"][:, 1]
    np.testing.assert_allclose(monitor.history["norm"][:8, 0], of_left, rtol=1e-4)
    together = np.hypot(of_left, of_right[:8])
    np.testing.assert_allclose(monitor.global_norms[:8], together, rtol=1e-4)
    left = norms_of(LEFT).reshape(2, 4).mean(axis=1)
    np.testing.assert_allclose(logs["left_optimizer_gradient_norm"], left, rtol=1e-4)
    right = logs["right_optimizer_gradient_norm"]
    assert np.isfinite(right).all() and "2 recorded" not in monitor.table()


def test_the_one_optimizer_that_is_used_needs_no_name():
    model = two()
    model.right_updates = 0
    model.updates = lambda: [(model.left, model.left_optimizer)]

    class One(TwoNetworks):
        def updates(self):
            yield self.left, self.left_optimizer

    model = One(SGD(0.1), SGD(0.1))
    logs = fit(model, GradientMonitor(on_problem="ignore")).history
    np.testing.assert_allclose(
        logs["gradient_norm"], norms_of(LEFT).reshape(2, 4).mean(axis=1), rtol=1e-4
    )


def test_what_a_named_optimizer_trains_stays_inside_the_ball():
    model = two()
    enforcer = MaxNormEnforcer(0.4, optimizer="right_optimizer")
    fit(model, enforcer)
    assert np.linalg.norm(kernels(model)[1]) <= 0.4 < np.linalg.norm(kernels(model)[0])
    np.testing.assert_allclose(kernels(model)[0], trajectory(LEFT, RATES)[-1], 1e-4)
    assert enforcer.activity == {"right/right_dense/kernel": 1.0}


@pytest.mark.alternates("choice")
@pytest.mark.parametrize("choice", ["left_optimizer", None])
def test_averages_are_taken_of_what_an_optimizer_trains(choice):
    model = two()
    averaging = WeightAveraging(None, warmup=None, optimizer=choice)
    fit(model, averaging)
    left, right = (trajectory(k, RATES)[1:] for k in (LEFT, RIGHT))
    expected_right = np.mean(right, axis=0) if choice is None else right[-1]
    assert_ends_at(model, np.mean(left, axis=0), expected_right)
    assert averaging.num_averaged == 8


@pytest.mark.one_backend
def test_two_averages_are_refused_on_different_optimizers_too():
    averages = [
        WeightAveraging(0.9, optimizer=f"{side}_optimizer")
        for side in ("left", "right")
    ]
    with pytest.raises(ValueError, match="one average in a `fit`"):
        fit(two(), *averages)


def test_each_scheduler_steers_the_optimizer_that_it_is_for():
    model = two(right_updates=2)
    schedulers = {
        "left": HyperparameterScheduler(
            {"learning_rate": LinearRamp(0.1, 0.01, 8)}, optimizer="left_optimizer"
        ),
        "right": HyperparameterScheduler(
            {"learning_rate": LinearRamp(0.05, 0.2, 16)}, optimizer="right_optimizer"
        ),
    }
    logs = fit(model, *schedulers.values()).history
    rates = [np.linspace(0.1, 0.01, 8), np.linspace(0.05, 0.2, 16)]
    assert_ends_at(
        model,
        trajectory(LEFT, rates[0])[-1],
        trajectory(RIGHT, rates[1], updates_per_batch=2)[-1],
        rtol=1e-3,
    )
    for (name, scheduler), expected in zip(schedulers.items(), rates, strict=True):
        key = f"{name}_optimizer_learning_rate"
        np.testing.assert_allclose(scheduler.history[key], expected, rtol=1e-4)
        np.testing.assert_allclose(
            logs[key], expected[len(expected) // 2 - 1 :: len(expected) // 2], rtol=1e-4
        )
    assert float(model.left_optimizer.learning_rate) == pytest.approx(0.1)


def test_one_scheduler_steers_all_and_records_each():
    model = two(right_updates=2)
    scheduler = HyperparameterScheduler({"learning_rate": LinearRamp(0.1, 0.01, 16)})
    logs = fit(model, scheduler).history
    expected = np.linspace(0.1, 0.01, 16)
    for name, count in (("left", 8), ("right", 16)):
        key = f"{name}_optimizer_learning_rate"
        np.testing.assert_allclose(scheduler.history[key], expected[:count], rtol=1e-4)
        assert logs[key][-1] == pytest.approx(expected[count - 1])


def test_each_optimizer_can_have_a_cycle_of_its_own():
    model = two()
    cycles = [
        OneCycleScheduler(peak, optimizer=name, cycle_momentum=False)
        for peak, name in ((0.1, "left_optimizer"), (0.3, "right_optimizer"))
    ]
    fit(model, *cycles)
    expected = [
        trajectory(k, OneCycle(peak, 8).values(np.arange(8)))[-1]
        for k, peak in ((LEFT, 0.1), (RIGHT, 0.3))
    ]
    assert_ends_at(model, *expected, rtol=1e-3)


def test_all_callbacks_work_together_on_different_optimizers():
    model = two(right_updates=2)
    callbacks = [
        GradientMonitor(optimizer="right_optimizer", on_problem="ignore"),
        GradientClipper(value=0.5, optimizer="left_optimizer"),
        MaxNormEnforcer(0.3),
        OneCycleScheduler(0.1, optimizer="left_optimizer"),
        WeightAveraging(0.9, optimizer="right_optimizer"),
    ]
    fit(model, *callbacks)
    assert max(map(np.linalg.norm, kernels(model))) <= 0.3
    assert len(callbacks[0].steps) == 16


def state_of(model):
    attributes = {
        name: {key for key in vars(each.optimizer) if "cache" not in key}
        for each in model_optimizers(model)
        for name in [each.name]
    }
    variables = {
        each.name: [id(v) for v in each.optimizer.variables]
        for each in model_optimizers(model)
    }
    kept = {"_keras_deeptools_kept_trace", "_keras_deeptools_guests"}
    ours = {key for key in vars(model) if "keras_deeptools" in key}
    return attributes, variables, ours - kept


@pytest.mark.alternates("way")
@pytest.mark.parametrize("way", ["scope", "tracked", "handed"])
def test_nothing_is_left_after_training(way):
    model = two(way=way)
    fit(model)
    before = state_of(model)
    for _ in range(2):
        fit(
            model,
            GradientClipper(value=0.5),
            GradientMonitor(optimizer="right_optimizer", on_problem="ignore"),
            WeightAveraging(0.9, optimizer="left_optimizer"),
        )
    assert state_of(model) == before
    assert not {"fit", "save", "train_step"} & set(vars(model))


@pytest.mark.alternates("way")
@pytest.mark.parametrize("way", ["scope", "tracked", "handed"])
def test_another_fit_with_the_same_callbacks_acts_again(way):
    model = two(way=way)
    clipper = GradientClipper(global_norm=0.5)
    for count in (8, 8):
        fit(model, clipper)
        assert clipper.num_updates == count
    # A batch of another size is traced into the step that was kept.
    fit(model, clipper, batch_size=6)
    assert clipper.num_updates == 6
    assert clipper.history["left_optimizer_global_norm"][-1] >= 0


@pytest.mark.parametrize("way", ["scope", "tracked"])
def test_files_of_a_running_fit_hold_the_optimizers_as_they_are(way):
    model = two(way=way)
    fit(model)
    model.save_weights("plain.weights.h5")
    save = keras.callbacks.ModelCheckpoint("fit.weights.h5", save_weights_only=True)
    fit(model, GradientMonitor(on_problem="ignore"), save)
    other = two(way=way)
    fit(other)
    for name in ("plain", "fit"):
        other.load_weights(f"{name}.weights.h5")
    assert_ends_at(other, *kernels(model))
    assert int(other.left_optimizer.iterations) == 16


@pytest.mark.parametrize("way", ["scope", "tracked", "handed"])
def test_attach_takes_a_name(way):
    model = two(way=way)
    clipper = GradientClipper(global_norm=0.5)
    with attach(model, clipper, optimizer="left_optimizer"):
        for i in range(4):
            model.train_on_batch(X[4 * i :][:4], Y[4 * i :][:4])
        assert clipper.num_updates == 4
    left = trajectory(LEFT, RATES[:4], within(0.5))[-1]
    assert_ends_at(model, left, trajectory(RIGHT, RATES[:4])[-1])


def test_attach_minds_what_each_callback_was_told():
    model = two()
    left = GradientMonitor(optimizer="left_optimizer", on_problem="ignore")
    right = GradientMonitor(optimizer="right_optimizer", on_problem="ignore")
    with attach(model, left, right):
        model.train_on_batch(X, Y)
        assert left.variables == ["left/left_dense/kernel"]
        assert right.variables == ["right/right_dense/kernel"]


@pytest.mark.parametrize("way", ["tracked", "handed"])
def test_an_optimizer_of_ones_own_may_scale_the_loss(way):
    scaling = keras.optimizers.LossScaleOptimizer(SGD(0.1), initial_scale=4.0)
    model = TwoNetworks(scaling, SGD(0.1), way=way)
    if keras.backend.backend() != "jax":
        model.updates = lambda: [(model.right, model.right_optimizer)]
        monitor = GradientMonitor(optimizer="right_optimizer", on_problem="ignore")
        fit(model, monitor)
    else:
        monitor = GradientMonitor(optimizer="left_optimizer", on_problem="ignore")
        fit(model, monitor)
    kernel = RIGHT if keras.backend.backend() != "jax" else LEFT
    np.testing.assert_allclose(monitor.global_norms, norms_of(kernel), rtol=1e-4)


@pytest.mark.parametrize("way", ["scope", "tracked", "handed"])
def test_updates_count_where_an_optimizer_of_ones_own_accumulates(way):
    accumulating = SGD(0.1, gradient_accumulation_steps=2)
    model = TwoNetworks(accumulating, SGD(0.1), way=way)
    monitor = GradientMonitor(on_problem="ignore")
    fit(model, monitor, cycle := OneCycleScheduler(0.1, cycle_momentum=False))
    counts = (~np.isnan(monitor.history["norm"])).sum(axis=0)
    assert counts.tolist() == [4, 8]
    lengths = [len(values) for values in cycle.history.values()]
    assert lengths == [4, 8]


@pytest.mark.one_backend
def test_layers_are_chosen_among_all_that_are_trained():
    model = two()
    clipper = GradientClipper(global_norm=0.5, layers="right*")
    fit(model, clipper)
    right = trajectory(RIGHT, RATES, within(0.5))[-1]
    assert_ends_at(model, trajectory(LEFT, RATES)[-1], right)
    with pytest.raises(ValueError, match="matches none"):
        fit(model, GradientClipper(global_norm=0.5, layers="middle*"))


def test_rates_by_layer_group_may_wrap_an_optimizer_of_ones_own():
    model = two()
    groups = {"multipliers": {"*": 0.5}, "groups": model.left}
    model.left_optimizer = DiscriminativeLearningRates(SGD(0.2), **groups)
    if keras.backend.backend() == "jax":
        model.left_optimizer.build(model.left.trainable_variables)
        model.states = [
            *model.left_optimizer.variables,
            *model.right_optimizer.variables,
        ]
    clipper = GradientClipper(global_norm=0.5, optimizer="left_optimizer")
    fit(model, clipper)
    left = trajectory(LEFT, RATES, within(0.5))[-1]
    assert_ends_at(model, left, trajectory(RIGHT, RATES)[-1])


class Halve(TrainingFeature):
    """A callback as users write them, which knows nothing of several optimizers."""

    def transform_gradients(self, state, leaf, gradients):
        return [g * 0.5 for g in gradients]


def test_callbacks_of_users_act_on_all_that_is_used():
    model = two()
    fit(model, Halve())
    assert_ends_at(model, *(trajectory(k, [0.05] * 8)[-1] for k in (LEFT, RIGHT)))


class HalveOne(Halve):
    def __init__(self):
        super().__init__(optimizer="right_optimizer")


def test_callbacks_of_users_can_name_an_optimizer():
    model = two()
    fit(model, HalveOne())
    assert_ends_at(
        model, trajectory(LEFT, RATES)[-1], trajectory(RIGHT, [0.05] * 8)[-1]
    )


def test_compile_may_have_been_given_no_optimizer():
    model = two(way="handed")
    model.optimizer = None
    averaging = WeightAveraging(None, warmup=None)
    fit(model, averaging, GradientMonitor(on_problem="ignore"))
    assert_ends_at(
        model, *(np.mean(trajectory(k, RATES)[1:], axis=0) for k in (LEFT, RIGHT))
    )


@pytest.mark.one_backend
def test_gradual_unfreezing_is_refused_before_training():
    told = "GradualUnfreezing: .*`left_optimizer` and `right_optimizer`"
    with pytest.raises(ValueError, match=told):
        fit(two(), GradualUnfreezing(epochs=1))


@pytest.mark.one_backend
def test_an_unknown_name_is_refused_before_training_by_the_callback():
    model = two()
    before = kernels(model)
    with pytest.raises(ValueError, match=r"GradientClipper: .*'G'.*`left_optimizer`"):
        fit(model, GradientClipper(1.0, optimizer="G"))
    np.testing.assert_array_equal(kernels(model), before)


@pytest.mark.one_backend
def test_a_config_names_an_optimizer_that_was_given_itself():
    clipper = GradientClipper(1.0, optimizer=[SGD(name="first"), "second"])
    again = GradientClipper.from_config(clipper.get_config())
    assert again.optimizer == ["first", "second"]
