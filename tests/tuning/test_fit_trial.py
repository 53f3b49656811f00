import math
from pathlib import Path

import keras
import keras_tuner
import numpy as np
import pytest

from keras_deeptools.callbacks import GradientMonitor
from keras_deeptools.diagnosis import TrainingDoctor, TrainingWarning
from keras_deeptools.tuning import fit_trial, objective, search_report
from keras_deeptools.tuning._trials.searched_trial import (
    project_records,
    recorded_objective,
)
from tuning.trial_of_a_search import Trial, TunerCallback, scripted

pytestmark = pytest.mark.one_backend

PROJECT = Path("project")
FAILED = keras_tuner.errors.FailedTrialError


# --- The record ----------------------------------------------------------------------


def test_a_trial_is_recorded_with_its_curves_time_and_memory() -> None:
    record = Trial("07").run([3.0, 2.0, 1.0], epochs=3)
    assert (record.trial_id, record.execution, record.status) == ("07", 0, "completed")
    assert (record.epochs, record.planned_epochs, record.initial_epoch) == (3, 3, 0)
    assert record.history == {"loss": [3.0, 2.0, 1.0]}
    assert record.finding == "" and record.seconds_saved == 0
    assert record.seconds > 0 and record.seconds_per_epoch > 0
    assert record.peak_memory > 1e6


def test_a_promoted_trial_is_recorded_with_the_epochs_it_trained_itself() -> None:
    record = Trial().run([1.0, 0.5], epochs=6, initial_epoch=4)
    assert (record.initial_epoch, record.epochs, record.planned_epochs) == (4, 6, 6)


def test_a_running_trial_is_recorded_as_such_from_its_start() -> None:
    seen = []

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
            seen.append(project_records(PROJECT)[0].status)

    Trial().run([1.0], Look())
    assert seen == ["running"]


def test_a_loss_that_is_not_finite_ends_the_trial_as_failed_with_its_epoch() -> None:
    trial = Trial()
    with pytest.raises(FAILED, match="not finite in epoch 3"):
        trial.run([3.0, 2.0, math.nan, 1.0])
    record = trial.record()
    assert (record.status, record.finding, record.finding_epoch) == (
        "failed",
        "non-finite",
        3,
    )
    assert math.isnan(record.history["loss"][2])


def test_an_objective_that_is_never_finite_fails_the_trial() -> None:
    class Score(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
            logs["val_loss"] = math.nan

    trial = Trial(objective=keras_tuner.Objective("val_loss", "min"))
    with pytest.raises(FAILED, match="val_loss was not finite in any epoch"):
        trial.run([2.0, 1.0], Score())


def test_the_time_saved_is_that_of_the_epochs_left() -> None:
    trial = Trial()
    with pytest.raises(FAILED):
        trial.run([3.0, 2.0, math.nan], epochs=9)
    record = trial.record()
    assert record.seconds_saved == 6 * record.seconds_per_epoch


class Tried(keras_tuner.HyperModel):
    """A small model, in every second trial with a learning rate that is no good."""

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        keras.utils.set_random_seed(0)
        stack = [keras.layers.Dense(8, "relu"), keras.layers.Dense(2, "softmax")]
        model = keras.Sequential([keras.Input((3,)), *stack])
        rate = hp.Choice("rate", [-0.1, 0.05])
        loss = "sparse_categorical_crossentropy"
        model.compile(keras.optimizers.SGD(rate), loss)
        return model

    def fit(self, hp: object, model: keras.Model, *args: object, **kwargs: object):
        return fit_trial(model.fit, *args, **kwargs)


def test_a_trial_that_a_doctor_ends_is_recorded_with_the_cause(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(160, 3))
    tuner = keras_tuner.GridSearch(Tried(), "loss", directory=tmp_path)
    doctor = TrainingDoctor("stop")
    with pytest.warns(TrainingWarning, match="learning rate not positive"):
        tuner.search(
            x, (x[:, 0] > 0).astype(int), epochs=4, callbacks=[doctor], verbose=0
        )
    trials = {trial.values["rate"]: trial for trial in search_report(tuner).trials}
    bad, good = trials[-0.1], trials[0.05]
    assert (bad.status, bad.finding) == ("stopped", "learning rate not positive")
    assert bad.epochs < 4
    assert (good.status, good.finding, good.epochs) == ("completed", "", 4)


def test_a_trial_of_one_epoch_takes_the_pace_of_the_others() -> None:
    pace = Trial("0").run([3.0, 2.0, 1.0]).seconds_per_epoch
    trial = Trial("1")
    with pytest.raises(FAILED):
        trial.run([math.nan], epochs=5)
    assert trial.record().seconds_saved == 4 * pace


@pytest.mark.parametrize(
    ("error", "status", "finding"),
    [(ValueError("odd"), "failed", "error"), (KeyboardInterrupt(), "interrupted", "")],
)
def test_a_trial_that_is_broken_off_is_recorded_as_such(
    error: BaseException, status: str, finding: str
) -> None:
    trial = Trial()
    callback = TunerCallback(trial.tuner, "0")
    with pytest.raises(type(error)):
        fit_trial(scripted([1.0, 1.0], error), callbacks=[callback], epochs=4)
    record = trial.record()
    assert (record.status, record.finding, record.epochs) == (status, finding, 2)
    assert record.seconds_saved == 0


def test_a_trial_that_learns_no_more_than_class_frequencies_is_said_to() -> None:
    y = np.array([0, 0, 0, 1])
    frequencies = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    record = Trial().run([0.9, 0.7, frequencies], y=y)
    assert (record.status, record.finding) == ("completed", "no learning")
    assert Trial("1").run([0.9, 0.7, 0.9 * frequencies], y=y).finding == ""


def test_weighted_rows_are_not_said_to_learn_nothing() -> None:
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    trial = Trial()
    given = [TunerCallback(trial.tuner, "0")]
    x = y = np.arange(4.0)[:, None]
    weights = np.full(4, 9.0)
    fit_trial(
        model.fit, x, y, callbacks=given, epochs=3, sample_weight=weights, verbose=0
    )
    assert trial.record().finding == ""


def test_executions_are_recorded_one_after_another_and_a_retry_anew() -> None:
    trial = Trial()
    trial.run([1.0])
    assert trial.run([2.0]).execution == 1
    retry = Trial()
    assert retry.run([3.0]).execution == 0
    assert [one.history["loss"] for one in project_records(PROJECT)] == [[3.0]]


def test_what_the_search_looks_for_is_written_beside_the_trial() -> None:
    Trial(objective=objective("loss")).run([1.0])
    told = recorded_objective(PROJECT / "trial_0")
    assert told == {"name": "loss", "direction": "min"}


def test_outside_of_a_search_nothing_is_written() -> None:
    fit_trial(scripted([1.0]), callbacks=None)
    assert not list(Path().iterdir())


def test_callbacks_of_the_trial_stand_before_those_of_the_search() -> None:
    order = []

    class Note(keras.callbacks.Callback):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def on_train_begin(self, logs: dict | None = None) -> None:
            order.append(self.name)

    fit_trial(scripted([]), chosen=[Note("chosen")], callbacks=[Note("given")])
    assert order == ["chosen", "given"]


# --- The direction of the search -----------------------------------------------------


def test_a_search_for_the_worst_model_is_refused_before_it_trains() -> None:
    trial = Trial(objective=keras_tuner.Objective("val_f1_score", "min"))
    with pytest.raises(keras_tuner.errors.FatalValueError, match=r"more is better"):
        trial.run([1.0])
    assert not project_records(PROJECT)


def test_a_direction_that_was_given_here_is_kept() -> None:
    stated = objective("f1_score", "min")
    with pytest.warns(UserWarning, match="search: `objective` .*='f1_score'"):
        assert Trial(objective=stated).run([1.0]).status == "completed"


# --- Files ---------------------------------------------------------------------------

PATHS = {
    "checkpoint": (
        lambda: keras.callbacks.ModelCheckpoint("kept/{epoch}.keras"),
        "filepath",
        "kept/trial_0/execution{}/{{epoch}}.keras",
    ),
    "log": (
        lambda: keras.callbacks.CSVLogger("log.csv"),
        "filename",
        "trial_0/execution{}/log.csv",
    ),
    "backup": (
        lambda: keras.callbacks.BackupAndRestore("backup"),
        "backup_dir",
        "backup/trial_0/execution{}",
    ),
    "gradients": (
        lambda: GradientMonitor(log_dir="board"),
        "log_dir",
        "board/trial_0/execution{}",
    ),
    "board": (
        lambda: keras.callbacks.TensorBoard("board"),
        "log_dir",
        "board/0/execution{}",
    ),
    "board that the tuner has moved": (
        lambda: keras.callbacks.TensorBoard("board/0/execution0"),
        "log_dir",
        "board/0/execution0",
    ),
    "placeholders": (
        lambda: keras.callbacks.ModelCheckpoint(
            "k/{trial_id}-{execution}-{epoch}.keras"
        ),
        "filepath",
        "k/0-{}-{{epoch}}.keras",
    ),
}


class Watch(keras.callbacks.Callback):
    """Keeps a path of another callback, which itself does nothing."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path


@pytest.mark.parametrize("kind", PATHS)
def test_a_callback_gets_a_path_of_its_own(kind: str) -> None:
    make, name, expected = PATHS[kind]
    trial = Trial()
    for execution in range(1 if "moved" in kind else 2):
        callback = make()
        given = [callback, TunerCallback(trial.tuner, "0"), trial.keeper]
        fit_trial(lambda callbacks: keras.callbacks.History(), callbacks=given)
        assert getattr(callback, name) == expected.format(execution)


def test_paths_that_were_made_of_another_move_along() -> None:
    callback = keras.callbacks.BackupAndRestore("backup")
    given = [callback, TunerCallback(Trial().tuner, "0")]
    fit_trial(lambda callbacks: keras.callbacks.History(), callbacks=given)
    paths = [v for v in vars(callback).values() if str(v).startswith("backup")]
    assert len(paths) == 5
    assert all(path.startswith("backup/trial_0/execution0") for path in paths)


def test_a_placeholder_is_filled_in_for_any_callback() -> None:
    callback = Watch("plots/{trial_id}.png")
    Trial("3").run([1.0], callback)
    assert callback.path == "plots/3.png"


@pytest.mark.parametrize("had_begun", [False, True])
def test_a_backup_is_restored_only_if_it_is_of_the_same_search(had_begun: bool) -> None:
    kept = Path("backup/trial_0/execution0/latest.weights.h5")
    kept.parent.mkdir(parents=True)
    kept.touch()
    if had_begun:
        Trial().run([1.0])
    given = [
        keras.callbacks.BackupAndRestore("backup"),
        TunerCallback(Trial().tuner, "0"),
    ]
    fit_trial(lambda callbacks: keras.callbacks.History(), callbacks=given)
    assert kept.exists() == had_begun
