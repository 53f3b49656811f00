"""`WeightAveraging`: what is averaged, and when the model has which weights."""

import zipfile

import keras
import numpy as np
import pytest
import torch

from keras_deeptools import attach
from keras_deeptools.callbacks import MaxNormEnforcer, WeightAveraging
from keras_deeptools.transfer import GradualUnfreezing

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(32, 4)).astype("float32")
Y = (X @ RANDOM.normal(size=(4, 1))).astype("float32")
IS_TORCH = keras.backend.backend() == "torch"


def make_model(optimizer: object = None, **arguments: object) -> keras.Model:
    """Two layers, of which the second has a constraint; always the same weights."""
    keras.utils.set_random_seed(1)
    nonnegative = keras.constraints.NonNeg()
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(3, "tanh", name="hidden"),
            keras.layers.Dense(1, kernel_constraint=nonnegative, name="top"),
        ]
    )
    model.compile(optimizer or keras.optimizers.SGD(0.3, 0.9), "mse", **arguments)
    return model


def fit(model: keras.Model, *callbacks: object, **arguments: object) -> dict:
    options = {"epochs": 3, "batch_size": 8, "shuffle": False, "verbose": 0}
    options |= arguments
    return model.fit(X, Y, callbacks=list(callbacks), **options).history


class Path(keras.callbacks.Callback):
    """The weights after every batch."""

    def __init__(self) -> None:
        super().__init__()
        self.weights: list[list[np.ndarray]] = []

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.weights.append(copied(self.model))


def copied(model: keras.Model) -> list[np.ndarray]:
    return [np.array(keras.ops.convert_to_numpy(v)) for v in model.variables]


def assert_close(these: list, those: list, **tolerance: float) -> None:
    for this, that in zip(these, those, strict=True):
        np.testing.assert_allclose(this, that, **({"atol": 1e-6} | tolerance))


def assert_equal(these: list, those: list) -> None:
    for this, that in zip(these, those, strict=True):
        np.testing.assert_array_equal(this, that)


@pytest.fixture(scope="module")
def path() -> list[list[np.ndarray]]:
    """The weights after every update of the plain training."""
    recorded = Path()
    fit(make_model(), recorded)
    return recorded.weights


@pytest.fixture(scope="module")
def plain() -> dict:
    """The history of the plain training."""
    return fit(make_model(), validation_data=(X, Y))


def averaged(path: list, decays: list[float]) -> list[np.ndarray]:
    """Moving average with a decay for each step, in numpy."""
    average = [np.zeros_like(value, "float64") for value in path[0]]
    for weights, decay in zip(path, decays, strict=True):
        for mean, value in zip(average, weights, strict=True):
            mean *= decay
            mean += (1 - decay) * value
    return average


def reference(path: list, decay: float | None) -> list[np.ndarray]:
    """What torch's own averaging makes of the weights."""

    class Holder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.held = torch.nn.ParameterList(map(torch.from_numpy, path[0]))

    holder = Holder().double()
    ema = None if decay is None else torch.optim.swa_utils.get_ema_multi_avg_fn(decay)
    model = torch.optim.swa_utils.AveragedModel(holder, multi_avg_fn=ema)
    for weights in path:
        for held, value in zip(holder.held, weights, strict=True):
            held.data.copy_(torch.from_numpy(value))
        model.update_parameters(holder)
    return [held.detach().numpy() for held in model.module.held]


# --- What is averaged ----------------------------------------------------------------


def test_a_constant_decay_gives_the_moving_average_of_torch(path: list) -> None:
    model = make_model()
    fit(model, WeightAveraging(0.8, warmup=None))
    assert_close(copied(model), reference(path, 0.8))


def test_no_decay_gives_the_mean_of_all_weights_as_torchs_swa(path: list) -> None:
    model = make_model()
    fit(model, WeightAveraging(None))
    assert_close(copied(model), reference(path, None))


def test_the_decay_warms_up_from_nothing(path: list) -> None:
    model = make_model()
    fit(model, WeightAveraging(0.4, warmup=5.0))
    decays = [min((n - 1) / (n + 5.0), 0.4) for n in range(1, 13)]
    assert decays[0] == 0 and decays[-1] == 0.4
    assert_close(copied(model), averaged(path, decays))


def test_swa_from_an_epoch_on_takes_in_the_end_of_each_epoch(path: list) -> None:
    model, averaging = make_model(), WeightAveraging(None, start=1, every=4)
    fit(model, averaging)
    assert_close(copied(model), reference([path[7], path[11]], None))
    assert averaging.num_averaged == 2


@pytest.mark.one_backend
def test_a_part_of_all_epochs_is_rounded_up_to_an_epoch(path: list) -> None:
    model = make_model()
    fit(model, WeightAveraging(None, start=0.5))
    assert_close(copied(model), reference(path[8:], None))


@pytest.mark.one_backend
def test_a_run_that_ends_before_averaging_begins_keeps_its_weights(path: list) -> None:
    model = make_model()
    fit(model, WeightAveraging(None, start=7), validation_data=(X, Y))
    assert_equal(copied(model), path[-1])


def test_an_update_of_several_batches_counts_once() -> None:
    optimizer = keras.optimizers.SGD(0.3, 0.9, gradient_accumulation_steps=3)
    model, averaging, recorded = make_model(optimizer), WeightAveraging(None), Path()
    fit(model, averaging, recorded)
    assert averaging.num_averaged == 4
    assert_close(copied(model), reference(recorded.weights[2::3], None))


@pytest.mark.parametrize("steps", [1] if IS_TORCH else [1, 3])
def test_every_update_counts_with_several_steps_per_execution(
    steps: int, path: list
) -> None:
    model = make_model(steps_per_execution=steps)
    fit(model, WeightAveraging(0.8, warmup=None))
    assert_close(copied(model), reference(path, 0.8))


def test_averages_of_bfloat16_weights_are_taken_in_float32() -> None:
    keras.config.set_dtype_policy("bfloat16")
    model, recorded = make_model(), Path()
    fit(model, recorded, WeightAveraging(0.999, warmup=None, kept=False), epochs=20)
    path = [[np.asarray(v, "float32") for v in each] for each in recorded.weights]
    model = make_model()
    fit(model, WeightAveraging(0.999, warmup=None), epochs=20)
    shown = [np.asarray(value, "float32") for value in copied(model)]
    expected = reference(path, 0.999)
    # In bfloat16 steps of .001 of the way would be lost, and nothing would move.
    assert np.abs(expected[0] - path[0][0]).max() > 0.02
    assert_close(shown, expected, rtol=2**-8, atol=4e-3)


def test_a_mixed_policy_averages_the_float32_weights() -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    model, recorded = make_model(), Path()
    fit(model, recorded, WeightAveraging(0.9, warmup=None))
    assert_close(copied(model), reference(recorded.weights, 0.9))


def test_updates_that_loss_scaling_skips_do_not_count() -> None:
    keras.config.set_dtype_policy("mixed_float16")
    scaled = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(0.01), initial_scale=2.0**30
    )
    model, averaging = make_model(scaled), WeightAveraging(None)
    fit(model, averaging)
    updates = int(keras.ops.convert_to_numpy(scaled.inner_optimizer.iterations))
    assert averaging.num_averaged == updates < 12


@pytest.mark.alternates("first")
@pytest.mark.parametrize("first", ["averaging", "enforcer"])
def test_averages_are_inside_the_ball_that_weights_are_kept_in(first: str) -> None:
    model = make_model()
    both = [WeightAveraging(0.9), MaxNormEnforcer(0.2)]
    fit(model, *(both if first == "averaging" else both[::-1]))
    for kernel in copied(model)[::2]:
        assert np.linalg.norm(kernel, axis=0).max() <= 0.2


def test_averages_meet_the_constraint_of_their_variable() -> None:
    model = make_model()
    model.layers[0].kernel.constraint = keras.constraints.UnitNorm()
    fit(model, WeightAveraging(None))
    norms = np.linalg.norm(copied(model)[0], axis=0)
    np.testing.assert_allclose(norms, 1.0, rtol=1e-6)


# --- When the model has which weights ------------------------------------------------


def test_training_is_what_it_would_be_without(plain: dict, path: list) -> None:
    model = make_model()
    averaging = WeightAveraging(0.9, kept=False)
    history = fit(model, averaging, validation_data=(X, Y))
    assert history["loss"] == plain["loss"]
    assert history["val_loss"] != plain["val_loss"]
    assert_equal(copied(model), path[-1])


def test_validation_sees_the_averages() -> None:
    model = make_model()
    history = fit(model, WeightAveraging(0.9), validation_data=(X, Y))
    loss = model.evaluate(X, Y, batch_size=8, verbose=0)
    np.testing.assert_allclose(loss, history["val_loss"][-1], rtol=1e-6)


def test_validation_can_see_the_models_own_weights(plain: dict) -> None:
    model = make_model()
    averaging = WeightAveraging(0.9, validated=False)
    history = fit(model, averaging, validation_data=(X, Y))
    assert history["val_loss"] == plain["val_loss"]
    loss = model.evaluate(X, Y, batch_size=8, verbose=0)
    assert abs(loss - plain["val_loss"][-1]) > 1e-4


def test_a_second_fit_averages_anew() -> None:
    model, averaging = make_model(), WeightAveraging(None)
    fit(model, averaging, validation_data=(X, Y))
    recorded = Path()
    fit(model, averaging, recorded, validation_data=(X, Y))
    assert_close(copied(model), reference(recorded.weights, None))


@pytest.mark.alternates("last")
@pytest.mark.parametrize("last", [True, False])
def test_early_stopping_restores_the_averages_of_the_best_epoch(last: bool) -> None:
    model = make_model(keras.optimizers.SGD(1.5, 0.9))
    stopping = keras.callbacks.EarlyStopping(patience=2, restore_best_weights=True)
    both = [WeightAveraging(0.5), stopping]
    history = fit(
        model, *(both if last else both[::-1]), validation_data=(X, Y), epochs=12
    )
    assert len(history["loss"]) < 12
    loss = model.evaluate(X, Y, batch_size=8, verbose=0)
    np.testing.assert_allclose(loss, min(history["val_loss"]), rtol=1e-6)


class Breaker(keras.callbacks.Callback):
    """Ends the second epoch with Ctrl-C, at one of its hooks."""

    def __init__(self, hook: str) -> None:
        super().__init__()
        self.epoch = 0
        setattr(self, hook, self.interrupt)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.epoch = epoch

    def interrupt(self, *arguments: object, **options: object) -> None:
        if self.epoch == 1:
            raise KeyboardInterrupt


@pytest.mark.alternates("hook")
@pytest.mark.parametrize("hook", ["on_test_batch_end", "on_epoch_end"])
def test_an_interrupted_model_has_its_own_weights(hook: str, path: list) -> None:
    model = make_model()
    callbacks = (WeightAveraging(0.9), Breaker(hook))
    with pytest.raises(KeyboardInterrupt):
        fit(model, *callbacks, validation_data=(X, Y))
    # `get_weights` takes off what is left; an error in validation needs not even that.
    found = copied(model) if hook == "on_test_batch_end" else model.get_weights()
    assert_equal(found, path[7])
    fit(model)


def test_a_loop_of_ones_own_sees_the_averages_for_a_while() -> None:
    model, averaging, path = make_model(), WeightAveraging(None), []
    with attach(model, averaging):
        for _ in range(3):
            model.train_on_batch(X, Y)
            path.append(copied(model))
        with averaging.shown():
            assert_close(copied(model), reference(path, None))
        assert_equal(copied(model), path[-1])
    assert_equal(copied(model), path[-1])


def test_several_optimizers_are_averaged_together(path: list) -> None:
    rest = {".*hidden.*": keras.optimizers.SGD(0.3, 0.9)}
    first = keras.optimizers.SGD(0.3, 0.9)
    model = make_model(
        keras.optimizers.MultiOptimizer(keras.optimizers.OptimizerMap(first, rest))
    )
    fit(model, WeightAveraging(None), validation_data=(X, Y))
    assert_close(copied(model), reference(path, None))


def test_layers_that_are_unfrozen_join_with_their_weights_so_far() -> None:
    def run(*callbacks: object) -> keras.Model:
        model = make_model()
        model.layers[0].trainable = False
        model.compile(keras.optimizers.SGD(0.3, 0.9), "mse")
        fit(model, *callbacks, GradualUnfreezing([1], num_groups=2))
        return model

    recorded = Path()
    run(recorded)
    model = run(WeightAveraging(None))
    assert_close(copied(model), reference(recorded.weights, None))


# --- In files ------------------------------------------------------------------------


def test_a_checkpoint_holds_the_averages_and_loads_as_any_other() -> None:
    model = make_model(keras.optimizers.Adam(0.1))
    checkpoint = keras.callbacks.ModelCheckpoint("{epoch}.keras")
    history = fit(model, WeightAveraging(0.9), checkpoint, validation_data=(X, Y))
    loaded = keras.saving.load_model("2.keras")
    loss = loaded.evaluate(X, Y, batch_size=8, verbose=0)
    np.testing.assert_allclose(loss, history["val_loss"][1], rtol=1e-6)
    assert int(keras.ops.convert_to_numpy(loaded.optimizer.iterations)) == 8
    assert len(loaded.optimizer.variables) == len(model.optimizer.variables)
    with zipfile.ZipFile("2.keras") as archive:
        assert b"deeptools" not in archive.read("config.json")


class Killed(keras.callbacks.Callback):
    """Breaks training off in the third epoch."""

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        if epoch == 2:
            raise RuntimeError("killed")


@pytest.mark.alternates("validated")
@pytest.mark.parametrize(("validated", "last"), [(True, True), (False, False)])
def test_a_resumed_run_ends_where_an_unbroken_one_does(
    validated: bool, last: bool
) -> None:
    def callbacks() -> list:
        averaging = WeightAveraging(0.9, validated=validated)
        backup = keras.callbacks.BackupAndRestore("backup")
        return [averaging, backup] if last else [backup, averaging]

    whole = make_model()
    expected = fit(whole, *callbacks(), validation_data=(X, Y), epochs=4)
    with pytest.raises(RuntimeError, match="killed"):
        fit(make_model(), *callbacks(), Killed(), validation_data=(X, Y), epochs=4)
    resumed = make_model()
    history = fit(resumed, *callbacks(), validation_data=(X, Y), epochs=4)
    assert history["val_loss"] == expected["val_loss"][2:]
    assert_equal(copied(resumed), copied(whole))


def test_several_averages_of_one_run_are_read_one_by_one(path: list) -> None:
    model = make_model()
    first = WeightAveraging(0.8, warmup=None)
    second = WeightAveraging(None, validated=False, kept=False)
    seen = []

    class Read(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
            with second.shown():
                seen.append(copied(model))

    fit(model, first, second, Read(), validation_data=(X, Y))
    assert_close(seen[-1], reference(path, None))
    assert_close(copied(model), reference(path, 0.8))


# --- Arguments -----------------------------------------------------------------------


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ({"decay": 1.0}, "`decay` must be in"),
        ({"decay": -0.1}, "`decay` must be in"),
        ({"start": 1.5}, "`start` must be an epoch"),
        ({"start": -1}, "`start` must be an epoch"),
        ({"every": 0}, "`every` must be an integer >= 1"),
        ({"warmup": -1.0}, "`warmup` must be a finite float >= 0"),
    ],
)
def test_an_argument_out_of_range_is_named(arguments: dict, rule: str) -> None:
    with pytest.raises(ValueError, match=f"WeightAveraging: {rule}"):
        WeightAveraging(**arguments)


@pytest.mark.one_backend
def test_two_averages_cannot_both_be_the_result() -> None:
    with pytest.raises(ValueError, match="WeightAveraging: `validated` can be True"):
        fit(make_model(), WeightAveraging(0.9), WeightAveraging(None))


@pytest.mark.one_backend
def test_it_is_refused_beside_keras_own_averages_which_it_would_take_for_weights():
    model = make_model(keras.optimizers.SGD(0.1, use_ema=True))
    with pytest.raises(ValueError, match="SwapEMAWeights among the callbacks"):
        fit(model, keras.callbacks.SwapEMAWeights(), WeightAveraging())


def test_beside_keras_own_averages_it_can_be_read():
    alone = make_model(keras.optimizers.SGD(0.1, use_ema=True))
    plain = fit(alone, keras.callbacks.SwapEMAWeights())
    averaging = WeightAveraging(validated=False, kept=False)
    model = make_model(keras.optimizers.SGD(0.1, use_ema=True))
    both = fit(model, keras.callbacks.SwapEMAWeights(), averaging)
    assert averaging.num_averaged == 12
    np.testing.assert_allclose(both["loss"], plain["loss"], rtol=1e-6)
