"""Group by group inside one fit, with nothing lost and no step too long."""

import copy
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from keras_deeptools.callbacks import (
    GradientClipper,
    GradientMonitor,
    MaxNormEnforcer,
    OneCycleScheduler,
)
from keras_deeptools.engine._update.leaf import leaf_optimizers
from keras_deeptools.transfer import (
    DiscriminativeLearningRates,
    GradualUnfreezing,
    freeze_to,
    layer_groups,
)
from keras_deeptools.transfer._freezing.unfreezing_phase import UnfreezingProgress
from transfer.grouped_model import INPUTS, TARGETS, fit, grouped_model

RATE = 0.01
of = keras.optimizers


def multi() -> keras.optimizers.Optimizer:
    chosen = keras.optimizers.OptimizerMap(
        of.Adam(RATE), {"body.*": of.Adam(RATE), "neck.*": of.Adam(RATE)}
    )
    return of.MultiOptimizer(chosen)


MAKERS: dict[str, Callable] = {
    "Adam": lambda: of.Adam(RATE),
    "accumulation": lambda: of.Adam(RATE, gradient_accumulation_steps=2),
    "averages": lambda: of.AdamW(RATE, use_ema=True),
    "loss scaling": lambda: of.LossScaleOptimizer(of.Adam(RATE), 256.0),
    "MultiOptimizer": multi,
}

SLOW = ("accumulation", "averages", "MultiOptimizer")


class Watch(keras.callbacks.Callback):
    """Keeps the kernels after every batch."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels: dict[str, list[np.ndarray]] = {"body": [], "neck": [], "head": []}

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        for name, kept in self.kernels.items():
            kept.append(self.model.get_layer(name).get_weights()[0])

    def steps(self, name: str) -> np.ndarray:
        """Largest change of an element in each update."""
        changes = np.diff(np.stack(self.kernels[name]), axis=0)
        return np.abs(changes).max(axis=(1, 2))


def make_late(model: keras.Model, updates: int = 5000) -> None:
    """Lets the optimizer count as late in training."""
    model.optimizer.build(model.trainable_variables)
    for leaf in [model.optimizer, *leaf_optimizers(model.optimizer)]:
        count = updates * (leaf.gradient_accumulation_steps or 1)
        leaf._iterations.assign(count)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(make, id=name, marks=[pytest.mark.slow] if name in SLOW else [])
        for name, make in MAKERS.items()
    ],
)
def test_first_steps_are_no_longer_than_the_rate_and_the_rest_feels_nothing(
    make: Callable,
) -> None:
    model, plain = grouped_model(make()), grouped_model(make())
    make_late(model)
    make_late(plain)
    watch, other = Watch(), Watch()
    unfreezing = GradualUnfreezing([1], num_groups=2)
    fit(model, 7, callbacks=[unfreezing, watch])
    fit(plain, 7, callbacks=[other])
    for name in ("body", "neck"):
        steps = watch.steps(name)
        assert (steps[:7] == 0).all()
        moved = steps[7:][steps[7:] > 0][:20]
        assert len(moved) >= 20 and moved.max() <= 1.1 * RATE
        assert moved.max() >= 0.5 * RATE
    for this, that in zip(watch.kernels["head"], other.kernels["head"], strict=True):
        np.testing.assert_array_equal(this, that)


def test_rates_by_group_and_own_counts_go_together() -> None:
    model = grouped_model("sgd")
    multipliers = [0.1, 0.5, 1.0]
    optimizer = DiscriminativeLearningRates(
        of.Adam(RATE), multipliers=multipliers, groups=model
    )
    model.compile(optimizer, loss=["mse", "mse"])
    make_late(model)
    watch = Watch()
    fit(model, 4, callbacks=[GradualUnfreezing([1], num_groups=2), watch])
    for name, multiplier in zip(("body", "neck"), multipliers, strict=False):
        steps = watch.steps(name)
        assert (steps[:7] == 0).all()
        assert 0.5 <= steps[7:27].max() / (RATE * multiplier) <= 1.1


def test_plain_unfreezing_late_would_take_longer_steps_without_its_own_count() -> None:
    model = grouped_model(of.Adam(RATE))
    make_late(model)
    watch = Watch()
    fit(model, 3, callbacks=[watch])
    assert watch.steps("body")[:20].max() > 2 * RATE


def test_groups_are_unfrozen_at_the_given_epochs() -> None:
    model = grouped_model("adam")
    unfreezing = GradualUnfreezing([1, 3])
    fit(model, 5, callbacks=[unfreezing])
    assert [phase.epoch for phase in unfreezing.history] == [0, 1, 3]
    assert [phase.update for phase in unfreezing.history] == [0, 8, 24]
    assert [phase.group for phase in unfreezing.history] == ["head", "neck", "body"]
    assert [phase.num_parameters for phase in unfreezing.history] == [8, 20, 32]
    assert unfreezing.table().count("\n") == 2
    assert len(model.trainable_variables) == 6
    fit(model, 3, initial_epoch=2, callbacks=[GradualUnfreezing([2], start="neck")])
    assert len(model.trainable_variables) == 6
    fit(model, 1, callbacks=[unfreezing])
    assert [phase.update for phase in unfreezing.history] == [48]
    assert len(model.trainable_variables) == 2


class Falling(keras.callbacks.Callback):
    """Reports numbers of its own as validation of each epoch."""

    def __init__(self, values: list[float]) -> None:
        super().__init__()
        self.values = values

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        assert logs is not None
        logs["val_score"] = self.values[epoch]


def test_one_more_group_is_due_whenever_patience_is_out() -> None:
    progress, due = UnfreezingProgress(), []
    for value in (0.5, 0.7, 0.7, 0.6, 0.9, 0.9, 0.95, 0.99, 0.9):
        progress.judge(value, "max", min_delta=0.06, patience=2)
        due.append(progress.num_due)
    assert due == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert UnfreezingProgress.from_json(progress.as_json()) == progress


@pytest.mark.one_backend
def test_groups_are_unfrozen_when_what_is_watched_stops_improving() -> None:
    model = grouped_model("adam")
    falling = Falling([1.0] * 6)
    unfreezing = GradualUnfreezing(patience=2, monitor="val_score", mode="max")
    fit(model, 4, callbacks=[falling, unfreezing])
    assert [phase.epoch for phase in unfreezing.history] == [0, 3]
    fit(model, 6, initial_epoch=4, callbacks=[falling, unfreezing])
    assert [phase.epoch for phase in unfreezing.history] == [0, 3, 5]
    fit(model, 1, callbacks=[falling, unfreezing])
    assert [phase.epoch for phase in unfreezing.history] == [0]


@pytest.mark.one_backend
def test_a_number_that_is_missing_is_named() -> None:
    model = grouped_model("adam")
    with pytest.warns(UserWarning, match="'val_loss' is not in the logs of epoch 0"):
        fit(model, 2, callbacks=[GradualUnfreezing(patience=1)])


class Stop(keras.callbacks.Callback):
    """Kills the training when an epoch begins."""

    def __init__(self, epoch: int) -> None:
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        if epoch == self.epoch:
            raise KeyboardInterrupt


KINDS: dict[str, dict] = {
    "epochs": {"epochs": [1, 3]},
    "validation": {"patience": 1, "min_delta": 1e9},
}


def run(
    kind: str, before: list[Any] | None = None, after: list[Any] | None = None
) -> tuple[keras.Model, GradualUnfreezing]:
    """A model after a fit with validation, with callbacks before and after."""
    model, unfreezing = grouped_model(of.Adam(RATE)), GradualUnfreezing(**KINDS[kind])
    make_late(model)
    data = (INPUTS[:8], [target[:8] for target in TARGETS])
    callbacks = [*(before or []), unfreezing, *(after or [])]
    fit(model, 5, callbacks=callbacks, validation_data=data)
    return model, unfreezing


whole_run = functools.cache(run)


@pytest.mark.alternates("kind")
@pytest.mark.parametrize(
    ("kind", "stop", "first"),
    [
        ("epochs", 3, False),
        ("validation", 3, True),
        pytest.param("epochs", 2, True, marks=pytest.mark.slow),
        pytest.param("validation", 2, False, marks=pytest.mark.slow),
        pytest.param("epochs", 1, True, marks=pytest.mark.slow),
        pytest.param("epochs", 3, True, marks=pytest.mark.slow),
        pytest.param("validation", 3, False, marks=pytest.mark.slow),
        pytest.param("validation", 4, False, marks=pytest.mark.slow),
    ],
)
def test_a_killed_and_resumed_fit_ends_as_an_uninterrupted_one(
    kind: str, stop: int, first: bool, tmp_path: Path
) -> None:
    def resumable(*others: Any) -> tuple[keras.Model, GradualUnfreezing]:
        backup = keras.callbacks.BackupAndRestore(str(tmp_path / "backup"))
        if first:
            return run(kind, after=[backup, *others])
        return run(kind, before=[backup], after=list(others))

    whole, expected = whole_run(kind)
    with pytest.raises(KeyboardInterrupt):
        resumable(Stop(stop))
    model, unfreezing = resumable()
    assert unfreezing.history == expected.history
    assert len(model.trainable_variables) == len(whole.trainable_variables)
    for this, that in zip(model.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(this, that, atol=1e-7)
    pairs = zip(model.optimizer.variables, whole.optimizer.variables, strict=True)
    for this, that in pairs:
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(this),
            keras.ops.convert_to_numpy(that),
            atol=1e-7,
        )


@pytest.mark.one_backend
def test_a_backup_of_other_groups_is_refused(tmp_path: Path) -> None:
    backup = keras.callbacks.BackupAndRestore(str(tmp_path / "backup"))
    with pytest.raises(KeyboardInterrupt):
        fit(
            grouped_model("adam"),
            3,
            callbacks=[GradualUnfreezing(1), backup, Stop(1)],
        )
    with pytest.raises(ValueError, match="must be resumed with the layer groups"):
        fit(
            grouped_model("adam"),
            3,
            callbacks=[GradualUnfreezing(1, num_groups=2), backup],
        )


def test_a_model_saved_after_an_unfreeze_loads_as_any_other(tmp_path: Path) -> None:
    model = grouped_model("adam")
    fit(model, 2, callbacks=[GradualUnfreezing([1])])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert len(loaded.trainable_variables) == 4
    assert len(loaded.optimizer.variables) == len(model.optimizer.variables)
    pairs = zip(loaded.optimizer.variables, model.optimizer.variables, strict=True)
    for this, that in pairs:
        if "neck" not in this.path:
            np.testing.assert_array_equal(
                keras.ops.convert_to_numpy(this), keras.ops.convert_to_numpy(that)
            )
    assert "keras_deeptools" not in loaded.to_json()
    fit(loaded, 1)


def test_all_callbacks_that_act_on_updates_go_on() -> None:
    model = grouped_model(of.SGD(RATE), nested=True)
    one_cycle, monitor = OneCycleScheduler(RATE), GradientMonitor(on_problem="ignore")
    clipper, enforcer = GradientClipper(norm=1.0), MaxNormEnforcer(1.0)
    callbacks = [one_cycle, monitor, GradualUnfreezing([1, 2]), clipper, enforcer]
    fit(model, 3, callbacks=callbacks)
    assert len(one_cycle.history["learning_rate"]) == 24
    kernels = [i for i, path in enumerate(monitor.variables) if "kernel" in path]
    layers = [monitor.variables[i].split("/")[-2] for i in kernels]
    assert layers == ["body", "neck", "head"]
    recorded = np.isfinite(monitor.history["norm"][:, kernels]).sum(axis=0)
    assert recorded.tolist() == [8, 16, 24]
    assert clipper.num_updates == 24
    assert len(clipper.activity) == len(enforcer.activity) == 3
    for name in ("head", "neck"):
        kernel = model.get_layer(name).get_weights()[0]
        assert np.linalg.norm(kernel, axis=0).max() <= 1.0


@pytest.mark.parametrize("options", [{"run_eagerly": True}, {"steps_per_execution": 4}])
def test_it_works_eagerly_and_with_several_steps_at_once(options: dict) -> None:
    if keras.backend.backend() == "torch":
        options = {"run_eagerly": True}
    plain, model = grouped_model("adam"), grouped_model("adam", **options)
    watch = GradualUnfreezing([1])
    fit(plain, 3, callbacks=[GradualUnfreezing([1])])
    fit(model, 3, callbacks=[watch])
    assert watch.history[-1].update == 8
    for this, that in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(this, that, atol=1e-5)


def test_batch_normalization_of_the_head_trains_and_the_rest_does_as_told() -> None:
    inputs = keras.Input((3,))
    outputs = keras.layers.Dense(3, name="body")(inputs)
    outputs = keras.layers.BatchNormalization(name="norm")(outputs)
    outputs = keras.layers.Dense(2, name="head")(outputs)
    outputs = keras.layers.BatchNormalization(name="head_norm")(outputs)
    model = keras.Model(inputs, outputs)
    model.compile("adam", loss="mse")
    last = layer_groups(model, 2).names[-1]
    unfreezing = GradualUnfreezing([1], num_groups=2, start=last)
    model.fit(INPUTS, TARGETS[0], epochs=2, verbose=0, callbacks=[unfreezing])
    gamma, _, mean, _ = model.get_layer("norm").get_weights()
    assert (mean == 0).all() and (gamma == 1).all()
    gamma, _, mean, _ = model.get_layer("head_norm").get_weights()
    assert (mean != 0).all() and (gamma != 1).all()


@pytest.mark.one_backend
def test_a_copy_holds_no_model_and_trains_another() -> None:
    unfreezing = GradualUnfreezing(patience=3, mode="max", monitor="val_x", verbose=1)
    again = GradualUnfreezing.from_config(unfreezing.get_config())
    assert again.get_config() == unfreezing.get_config()
    unfreezing = GradualUnfreezing([1])
    model, other = grouped_model("adam"), grouped_model("adam")
    fit(model, 2, callbacks=[unfreezing])
    copied = copy.deepcopy(unfreezing)
    assert copied.history == unfreezing.history and copied._model is None
    fit(other, 2, callbacks=[copied])
    for this, that in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(this, that)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "`epochs` must be given, or else `patience`"),
        ({"epochs": 1, "patience": 1}, "and not both"),
        ({"epochs": 0}, "`epochs` must be an integer >= 1"),
        ({"epochs": [2, 2]}, "or a list of increasing ones"),
        ({"epochs": [0, 1]}, "or a list of increasing ones"),
        ({"patience": 1, "monitor": "val_x"}, "where the name does not tell"),
        ({"patience": 1, "mode": "up"}, "`mode` must be one of"),
        ({"epochs": 1, "batch_norm": "off"}, "`batch_norm` must be one of"),
        ({"patience": 1, "min_delta": -1.0}, "`min_delta` must be a finite float"),
    ],
)
def test_arguments_out_of_range_are_named(arguments: dict, words: str) -> None:
    with pytest.raises(ValueError, match=f"GradualUnfreezing: .*{words}"):
        GradualUnfreezing(**arguments)


@pytest.mark.parametrize(
    "arguments", [{"epochs": 1.5}, {"epochs": ["1"]}, {"epochs": 1, "start": None}]
)
def test_arguments_of_the_wrong_type_are_named(arguments: dict) -> None:
    with pytest.raises(TypeError, match="GradualUnfreezing: `(epochs|start)` must be"):
        GradualUnfreezing(**arguments)


@pytest.mark.one_backend
def test_more_epochs_than_groups_are_refused_before_anything_changes() -> None:
    model = grouped_model("adam")
    freeze_to(model, "neck")
    with pytest.raises(ValueError, match="`epochs` must be at most 2, one for each"):
        fit(model, 2, callbacks=[GradualUnfreezing([1, 2, 3])])
    with pytest.raises(ValueError, match="`start` must be the number or name"):
        fit(model, 2, callbacks=[GradualUnfreezing(1, start="tail")])
    assert len(model.trainable_variables) == 4
