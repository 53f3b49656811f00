"""Each group is trained at its own rate, by any optimizer, in any way of training."""

import inspect
import pickle
from collections.abc import Callable
from pathlib import Path

import keras
import pytest

from keras_deeptools.callbacks import (
    GradientMonitor,
    HyperparameterScheduler,
    MaxNormEnforcer,
    OneCycleScheduler,
    find_learning_rate,
)
from keras_deeptools.schedules import LinearRamp
from keras_deeptools.transfer import (
    DiscriminativeLearningRates,
    freeze,
    frozen,
    unfreeze,
)
from transfer.branch_rates import (
    QUARTER,
    RATE,
    Make,
    assert_close,
    assert_trained_as_plain,
    branches,
    discriminative,
    of,
    with_rates,
)
from transfer.two_branches import INPUTS, TARGETS, step, train, two_branches

OPTIMIZERS = {
    name: cls
    for name, cls in vars(of).items()
    if inspect.isclass(cls)
    and issubclass(cls, of.Optimizer)
    and name not in ("Ftrl", "LossScaleOptimizer", "MultiOptimizer", "Optimizer")
}


@pytest.mark.alternates("name", but=("Muon", "Adafactor", "ScheduleFree"))
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_trains_each_group_at_its_rate(name: str) -> None:
    make: Make = OPTIMIZERS[name]
    model = with_rates(make(RATE), run_eagerly=True)
    step(model)
    assert_trained_as_plain(model, make, step)


@pytest.mark.parametrize(
    "make",
    [of.Ftrl, lambda rate: of.LossScaleOptimizer(of.Ftrl(rate))],
    ids=["alone", "inside"],
)
def test_ftrl_is_refused(make: Make) -> None:
    with pytest.raises(ValueError, match="DiscriminativeLearningRates: .*Ftrl.*Adam"):
        with_rates(make(RATE))


WAYS: dict[str, tuple[Make, Make, dict]] = {
    name: (make, make, {})
    for name, make in {
        "decay": lambda rate: of.AdamW(rate, weight_decay=0.1),
        "accumulation": lambda rate: of.Adam(rate, gradient_accumulation_steps=2),
        "moving averages": lambda rate: of.Adam(rate, use_ema=True, ema_momentum=0.5),
        "clipping": lambda rate: of.SGD(rate, momentum=0.9, clipnorm=0.1),
        "schedule": lambda rate: of.SGD(of.schedules.ExponentialDecay(rate, 1, 0.5)),
    }.items()
} | {
    "loss scaling inside": (
        lambda rate: of.LossScaleOptimizer(of.Adam(rate), 256.0),
        of.Adam,
        {"auto_scale_loss": False},
    ),
    "several optimizers inside": (
        lambda rate: of.MultiOptimizer(of.OptimizerMap(of.Adam(rate))),
        of.Adam,
        {},
    ),
}
if keras.backend.backend() != "torch":
    WAYS["several steps at once"] = (of.Adam, of.Adam, {"steps_per_execution": 2})


@pytest.mark.parametrize("way", WAYS)
def test_fit_trains_each_group_at_its_rate(way: str) -> None:
    make, plain, options = WAYS[way]
    model = with_rates(make(RATE), **options)
    train(model, epochs=2)
    assert_trained_as_plain(model, plain, lambda other: train(other, epochs=2))


AROUND: dict[str, Callable] = {
    "loss scaling": lambda optimizer: of.LossScaleOptimizer(optimizer, 256.0),
    "several optimizers": lambda optimizer: of.MultiOptimizer(
        of.OptimizerMap(optimizer)
    ),
}


@pytest.mark.parametrize("what", AROUND)
def test_it_can_stand_inside_another_optimizer(what: str) -> None:
    model = two_branches("sgd")
    optimizer = discriminative(of.Adam(RATE), model)
    model.compile(AROUND[what](optimizer), loss=["mse", "mse"])
    train(model)
    assert_trained_as_plain(model, of.Adam, train)


def test_it_trains_in_mixed_precision() -> None:
    keras.config.set_dtype_policy("mixed_float16")
    model = with_rates(of.SGD(RATE))
    assert isinstance(model.optimizer, of.LossScaleOptimizer)
    train(model)
    assert_trained_as_plain(model, of.SGD, train, 1e-4)


def test_loss_scaling_inside_and_around_is_refused() -> None:
    keras.config.set_dtype_policy("mixed_float16")
    with pytest.raises(ValueError, match="scaled by one optimizer.*Put yours around"):
        with_rates(of.LossScaleOptimizer(of.SGD(RATE)))


def test_a_group_is_updated_at_once_by_the_optimizers_own_code() -> None:
    model = with_rates(of.Adam(RATE), run_eagerly=True)
    inner = model.optimizer.inner_optimizer
    name = "_parallel_update_step"  # fused
    if not hasattr(inner, name):
        name = "_backend_update_step"
    update, sizes = getattr(inner, name), []

    def counting(grads: list, variables: list, learning_rate: object) -> None:
        sizes.append(len(variables))
        update(grads, variables, learning_rate)

    vars(inner)[name] = counting
    model.train_on_batch(INPUTS, TARGETS)
    assert sizes == [2, 2]
    assert (name == "_parallel_update_step") == (keras.backend.backend() == "torch")


# --- The rate moves, and what is attached --------------------------------------------


def test_one_cycle_moves_all_groups_in_proportion() -> None:
    model = with_rates(of.Adam(0.5))
    train(model, 3, callbacks=[OneCycleScheduler(RATE)])
    for branch, rate in (("left", RATE * QUARTER), ("right", RATE)):
        plain = two_branches(of.Adam(), run_eagerly=True)
        train(plain, 3, callbacks=[OneCycleScheduler(rate)])
        assert_close(branches(model)[branch], branches(plain)[branch])


def test_features_are_attached_on_top() -> None:
    def callbacks() -> list[keras.callbacks.Callback]:
        decay = HyperparameterScheduler({"weight_decay": LinearRamp(0.0, 0.5, 4)})
        return [GradientMonitor(), MaxNormEnforcer(1.5), decay]

    model = with_rates(of.AdamW(RATE, weight_decay=0.1))
    train(model, 2, callbacks=callbacks())
    assert_trained_as_plain(
        model, of.AdamW, lambda plain: train(plain, 2, callbacks=callbacks())
    )


def test_what_is_assigned_to_the_rate_holds_for_all_groups() -> None:
    model = with_rates(of.SGD(1.0), run_eagerly=True)
    setter = keras.callbacks.LearningRateScheduler(lambda epoch, rate: RATE)
    train(model, callbacks=[setter])
    assert_trained_as_plain(model, of.SGD, train)


def test_hyperparameters_are_those_of_the_inner_optimizer() -> None:
    optimizer = with_rates(of.SGD(RATE, momentum=0.5)).optimizer
    optimizer.momentum = 0.75
    optimizer.weight_decay = 0.5
    inner = optimizer.inner_optimizer
    assert (inner.momentum, inner.weight_decay, optimizer.momentum) == (0.75, 0.5, 0.75)


def test_a_range_test_leaves_the_model_as_before() -> None:
    model, twin = (with_rates(of.Adam(RATE), run_eagerly=True) for _ in range(2))
    find_learning_rate(model, INPUTS, TARGETS, batch_size=8, num_steps=10)
    train(model)
    train(twin)
    assert_close(branches(model)["left"], branches(twin)["left"], 0.0)


# --- Freezing ------------------------------------------------------------------------


def test_freezing_and_unfreezing_keep_rates_and_slots() -> None:
    model = with_rates(of.Adam(RATE))
    step(model)
    freeze(model, "right")
    step(model)
    unfreeze(model, "right")
    with frozen(model, "right"):
        pass
    step(model)

    plain = two_branches(of.Adam(RATE * QUARTER), run_eagerly=True)
    for _ in range(3):
        step(plain)
    assert_close(branches(model)["left"], branches(plain)["left"])
    assert model.optimizer.multiplier(model.get_layer("right").kernel) == 1.0


@pytest.mark.one_backend
def test_a_variable_without_a_rate_is_named_when_it_is_to_be_trained() -> None:
    model = two_branches("sgd")
    optimizer = DiscriminativeLearningRates("sgd", {"left": 0.1}, model)
    model.compile(optimizer, loss=["mse", "mse"], run_eagerly=True)
    with pytest.raises(ValueError, match="Received: right/kernel, right/bias, in none"):
        step(model)
    assert not optimizer.inner_optimizer.built
    freeze(model, "right")
    step(model)
    with pytest.raises(ValueError, match="Received: right/kernel, right/bias, in none"):
        unfreeze(model, "right")
    step(model)


# --- Files ---------------------------------------------------------------------------


def test_a_saved_model_trains_on_as_if_it_had_not_been_saved() -> None:
    model = with_rates(of.Adam(RATE))
    train(model)
    model.save("model.keras")
    again = keras.saving.load_model("model.keras")
    assert again.optimizer.table() == model.optimizer.table()
    train(again)
    train(model)
    assert_close(branches(again)["left"], branches(model)["left"], 0.0)


@pytest.mark.parametrize("name", ["Adam", "LossScaleOptimizer"])
def test_a_file_names_the_optimizer_that_every_backend_has(name: str) -> None:
    optimizer = of.Adam() if name == "Adam" else of.LossScaleOptimizer(of.Adam())
    config = with_rates(optimizer, auto_scale_loss=False).optimizer.get_config()
    inner = config["inner_optimizer"]
    assert (inner["module"], inner["class_name"]) == ("keras.optimizers", name)


def test_a_pickled_model_has_its_rates_and_slots() -> None:
    model = with_rates(of.Adam(RATE), run_eagerly=True)
    train(model)
    again = pickle.loads(pickle.dumps(model))
    assert again.optimizer.table() == model.optimizer.table()
    assert_close(branches(again)["left"], branches(model)["left"], 0.0)


def test_weights_hold_the_state_of_the_optimizer() -> None:
    model = with_rates(of.Adam(RATE), run_eagerly=True)
    other = with_rates(of.Adam(RATE))
    train(model)
    model.save_weights("model.weights.h5")
    other.optimizer.build(other.trainable_variables)
    other.load_weights("model.weights.h5")
    assert_close(branches(other)["left"], branches(model)["left"], 0.0)
    assert int(other.optimizer.iterations) == 2


def test_training_resumes_where_it_was_cut_off(tmp_path: Path) -> None:
    class CutOff(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
            if epoch == 2:
                raise RuntimeError("cut off on purpose")

    def backup() -> keras.callbacks.Callback:
        return keras.callbacks.BackupAndRestore(tmp_path / "backup")

    cut, again, whole = (with_rates(of.Adam(RATE), run_eagerly=True) for _ in range(3))
    with pytest.raises(RuntimeError, match="cut off on purpose"):
        train(cut, 4, callbacks=[backup(), CutOff()])
    train(again, 4, callbacks=[backup()])
    train(whole, 4)
    assert_close(branches(again)["left"], branches(whole)["left"], 0.0)


@keras.saving.register_keras_serializable(package="tests")
class Subclassed(keras.Model):
    """Its layers get new numbers in every instance."""

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        self.first, self.last = keras.layers.Dense(3), keras.layers.Dense(2)

    def call(self, inputs: object) -> object:
        return self.last(self.first(inputs))

    def build(self, shape: tuple) -> None:
        self.first.build(shape)
        self.last.build((None, 3))


def test_a_loaded_model_finds_its_rates_under_other_numbers() -> None:
    model = Subclassed()
    model(INPUTS)
    optimizer = DiscriminativeLearningRates(
        "sgd", [0.25, 0.5], [[model.first], [model.last]]
    )
    model.compile(optimizer, loss="mse")
    model.fit(INPUTS, TARGETS[0], verbose=0)
    model.save("model.keras")
    again = keras.saving.load_model("model.keras")
    assert again.first.kernel.path != model.first.kernel.path
    found = list(map(again.optimizer.multiplier, again.trainable_variables))
    assert found == [0.5, 0.5, 1.0, 1.0]


def test_a_loaded_model_finds_its_rates_where_paths_have_changed() -> None:
    """Loading a Sequential takes its name out of the paths, here to equal ones."""
    dense = keras.layers.Dense
    inner = keras.Sequential([keras.Input((3,)), dense(3, name="dense")], name="inner")
    model = keras.Sequential([keras.Input((3,)), inner, dense(2, name="dense")])
    optimizer = DiscriminativeLearningRates("sgd", [0.25, 0.5], model.layers)
    model.compile(optimizer, loss="mse")
    freeze(model, inner)
    model.fit(INPUTS, TARGETS[0], verbose=0)
    model.save("model.keras")
    again = keras.saving.load_model("model.keras")
    unfreeze(again)
    found = list(map(again.optimizer.multiplier, again.trainable_variables))
    assert found == [0.5, 0.5, 1.0, 1.0]
