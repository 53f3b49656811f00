"""Whole searches with the families, and what is around their trials."""

from pathlib import Path

import keras
import keras_tuner
import numpy as np
import pytest
from sklearn.datasets import load_digits

from keras_deeptools.tuning import (
    DeepHyperModel,
    HopelessTrialStopper,
    fit_trial,
    mlp_family,
    objective,
    search_report,
)

pytestmark = pytest.mark.one_backend

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(64, 4)).astype("float32")
Y = (X[:, 0] > 0).astype(int)
FAMILY = mlp_family(4, 2, depth=1, width=8, optimizers=["sgd"])

TUNERS = {
    "random": lambda model: keras_tuner.RandomSearch(
        model, objective("val_loss"), max_trials=2, seed=0
    ),
    "bayesian": lambda model: keras_tuner.BayesianOptimization(
        model, objective("val_loss"), max_trials=2, seed=0
    ),
    "grid": lambda model: keras_tuner.GridSearch(
        model, objective("val_loss"), max_trials=2, seed=0
    ),
    "hyperband": lambda model: keras_tuner.Hyperband(
        model, objective("val_loss"), max_epochs=3, factor=3, seed=0
    ),
}

# They ask for trials as the random search does.
SLOW = ("bayesian", "grid")


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=[pytest.mark.slow] if kind in SLOW else [])
        for kind in TUNERS
    ],
)
def test_every_tuner_trains_each_trial_of_a_family_as_it_planned(kind: str) -> None:
    hypermodel = DeepHyperModel(FAMILY, max_epochs=3, parts=["optimizer", "one_cycle"])
    tuner = TUNERS[kind](hypermodel)
    # A backup that a trial leaves behind must not be taken up by another one.
    backup = keras.callbacks.BackupAndRestore("backup", delete_checkpoint=False)
    options = {"validation_data": (X, Y), "epochs": 3, "verbose": 0}
    tuner.search(X, Y, callbacks=[backup], batch_size=16, **options)
    trials = tuner.oracle.trials
    assert len(trials) >= 2
    assert {trial.status for trial in trials.values()} == {"COMPLETED"}
    records = {one.trial_id: one for one in search_report(tuner).trials}
    assert set(records) == set(trials)
    for trial_id, trial in trials.items():
        values, record = trial.hyperparameters.values, records[trial_id]
        assert record.initial_epoch == values.get("tuner/initial_epoch", 0)
        assert record.epochs == values.get("tuner/epochs", 3)
        assert len(record.executions) == 1
        assert min(record.history["val_loss"]) == pytest.approx(trial.score)


class OwnHyperModel(keras_tuner.HyperModel):
    """A user's own: three rates, of which two lead nowhere."""

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        layers = [keras.layers.Dense(8, "relu"), keras.layers.Dense(2, "softmax")]
        model = keras.Sequential([keras.Input((4,)), *layers])
        optimizer = keras.optimizers.SGD(hp.Choice("rate", [1.0, 0.0, 1e30]))
        model.compile(optimizer, "sparse_categorical_crossentropy")
        return model

    def fit(
        self,
        hp: keras_tuner.HyperParameters,
        model: keras.Model,
        *args: object,
        **kwargs: object,
    ) -> keras.callbacks.History:
        return fit_trial(model.fit, *args, **kwargs)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> keras_tuner.Tuner:
    """A search whose second trial is hopeless and whose third fails."""
    folder = tmp_path_factory.mktemp("search")
    tuner = keras_tuner.GridSearch(
        OwnHyperModel(), objective("val_loss"), directory=folder, executions_per_trial=2
    )
    callbacks = [
        HopelessTrialStopper(patience=3),
        keras.callbacks.ModelCheckpoint(folder / "kept/best.keras"),
        keras.callbacks.CSVLogger(folder / "logs/{trial_id}-{execution}.csv"),
    ]
    options = {"validation_data": (X, Y), "epochs": 5, "batch_size": 64, "verbose": 0}
    tuner.search(X, Y, callbacks=callbacks, **options)
    return tuner


def test_a_good_a_hopeless_and_a_failing_trial_end_as_such(
    searched: keras_tuner.Tuner,
) -> None:
    statuses = [trial.status for trial in searched.oracle.trials.values()]
    assert statuses == ["COMPLETED", "COMPLETED", "FAILED"]
    found = [
        (one.trial_id, one.execution, one.status, one.finding, one.epochs)
        for trial in search_report(searched).trials
        for one in trial.executions
    ]
    assert found == [
        ("0000", 0, "completed", "", 5),
        ("0000", 1, "completed", "", 5),
        ("0001", 0, "stopped", "no learning", 3),
        ("0001", 1, "stopped", "no learning", 3),
        ("0002", 0, "failed", "non-finite", 2),
    ]


def test_the_finding_is_in_the_tuners_own_record_of_a_failed_trial(
    searched: keras_tuner.Tuner,
) -> None:
    file = Path(searched.project_dir) / "trial_0002" / "trial.json"
    assert "The loss was not finite in epoch 2" in file.read_text("utf-8")


def test_the_time_that_a_search_saved_is_told(searched: keras_tuner.Tuner) -> None:
    report = search_report(searched)
    assert report.seconds_saved > 0
    assert report.peak_memory > 1e7
    lines = str(report).splitlines()
    assert any(line.startswith("trial 0001: After 3 epochs the loss") for line in lines)
    assert lines[-1].startswith("5 executions in ")
    assert "; 2 stopped and 1 failed early, which saved about " in lines[-1]


def test_the_files_of_a_search_tell_the_same_as_its_tuner(
    searched: keras_tuner.Tuner,
) -> None:
    from_tuner = search_report(searched)
    from_files = search_report(searched.project_dir)
    assert from_files.trials == from_tuner.trials
    assert str(from_files) == str(from_tuner)
    assert from_files.recipe == ""
    assert from_files.objective == "val_loss" and not from_files.maximize


def test_a_trial_tells_what_its_executions_tell_together(
    searched: keras_tuner.Tuner,
) -> None:
    trial = search_report(searched).trials[1]
    first, last = trial.executions
    assert (trial.status, trial.finding, trial.epochs) == ("stopped", "no learning", 3)
    assert (trial.message, trial.finding_epoch) == (first.message, 3)
    assert trial.seconds == first.seconds + last.seconds
    assert trial.seconds_saved == first.seconds_saved + last.seconds_saved
    assert (trial.planned_epochs, trial.initial_epoch) == (5, 0)
    assert trial.history == last.history


def test_each_execution_of_each_trial_has_files_of_its_own(
    searched: keras_tuner.Tuner,
) -> None:
    folder = Path(searched.project_dir).parent
    kept = sorted(
        one.relative_to(folder / "kept").as_posix()
        for one in (folder / "kept").rglob("best.keras")
    )
    assert kept[:2] == [f"trial_0000/execution{i}/best.keras" for i in (0, 1)]
    assert len(kept) == 5
    logs = sorted(one.name for one in (folder / "logs").iterdir())
    assert logs[:3] == ["0000-0.csv", "0000-1.csv", "0001-0.csv"]
    lines = (folder / "logs" / "0001-1.csv").read_text("utf-8").splitlines()
    assert len(lines) == 1 + 3


def test_a_search_in_the_wrong_direction_ends_before_it_trains() -> None:
    tuner = keras_tuner.RandomSearch(OwnHyperModel(), "val_r2_score", max_trials=1)
    with pytest.raises(keras_tuner.errors.FatalValueError, match="more is better"):
        tuner.search(X, Y, validation_data=(X, Y), verbose=0)


@pytest.mark.slow
def test_a_search_over_many_components_beats_the_defaults_on_digits() -> None:
    x, y = load_digits(return_X_y=True)
    x = x.astype("float32")
    train, valid = (x[:400], y[:400]), (x[400:1000], y[400:1000])
    parts = ["optimizer", "one_cycle", "max_norm", "clipping", "initializer"]
    hypermodel = DeepHyperModel(
        mlp_family(64, 10, adapt_to=train[0], width=32), max_epochs=6, parts=parts
    )
    options = {"validation_data": valid, "epochs": 6, "batch_size": 32, "verbose": 0}
    defaults = keras_tuner.HyperParameters()
    model = hypermodel.build(defaults)
    history = hypermodel.fit(defaults, model, *train, **options)
    searched = {name.split("/")[0] for name in defaults.values}
    components = {name.split("/")[1] for name in defaults.values if "mlp/" in name}
    assert len(searched | components) > 6
    tuner = keras_tuner.RandomSearch(
        hypermodel, objective("val_accuracy"), max_trials=8, seed=1
    )
    tuner.search(*train, callbacks=[HopelessTrialStopper()], **options)
    best = tuner.oracle.get_best_trials()[0]
    assert best.score > max(history.history["val_accuracy"])
