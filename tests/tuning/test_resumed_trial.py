"""A trial that was killed and goes on from its backup ends as if it had not been."""

from pathlib import Path

import keras
import keras_tuner
import numpy as np
import pytest

from keras_deeptools.tuning import (
    DeepHyperModel,
    HopelessTrialStopper,
    fit_trial,
    objective,
    search_report,
)
from keras_deeptools.tuning._trials.searched_trial import project_records
from keras_deeptools.tuning._trials.watch import TrialWatch

pytestmark = pytest.mark.one_backend

VALUES = [0.868, 0.859, 8.06, 8.06]
X, Y = np.ones((4, 2), "float32"), np.ones((4, 1), "float32")
SEEN: dict[int, list[np.ndarray]] = {}


class Scripted(keras.callbacks.Callback):
    """Puts values of its own into the logs, and notes the weights of each epoch."""

    def on_epoch_end(self, epoch, logs=None):
        logs["val_loss"] = VALUES[epoch]
        SEEN[epoch] = self.model.get_weights()


class Killed(BaseException):
    """What ends a process; nothing is written any more."""


class Kill(keras.callbacks.Callback):
    """Ends the process where an epoch has ended or the next one begins."""

    def __init__(self, epoch, where="begin"):
        super().__init__()
        self.epoch = epoch
        self.where = where

    def on_epoch_begin(self, epoch, logs=None):
        if self.where == "begin" and epoch == self.epoch:
            raise Killed

    def on_epoch_end(self, epoch, logs=None):
        if self.where == "end" and epoch == self.epoch:
            raise Killed

    def on_train_end(self, logs=None):
        if self.where == "train end" and len(SEEN) == len(VALUES):
            raise Killed


def build(hp):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(hp.Float("rate", 1e-3, 1e-2)), "mse")
    return model


class Own(keras_tuner.HyperModel):
    """A user's own hypermodel."""

    def build(self, hp):
        return build(hp)

    def fit(self, hp, model, *args, **kwargs):
        return fit_trial(model.fit, *args, **kwargs)


HYPERMODELS = {
    "deep": lambda: DeepHyperModel(build, max_epochs=4, parts=[]),
    "own": Own,
}


def search(hypermodel, kills=(), tuner=keras_tuner.RandomSearch, **options):
    """Searches, or goes on; kills the process if asked to."""
    options = {"max_trials": 1} if tuner is keras_tuner.RandomSearch else options
    made = tuner(hypermodel, objective("val_loss"), directory="search", **options)
    backup = keras.callbacks.BackupAndRestore("backup")
    callbacks = [Scripted(), backup, *kills]
    made.search(X, Y, epochs=4, verbose=0, callbacks=callbacks)
    return made


@pytest.fixture(autouse=True)
def nothing_seen(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    SEEN.clear()


@pytest.fixture
def killed(monkeypatch):
    """Runs a search that is killed."""

    def run(*args, **kwargs):
        with monkeypatch.context() as patch:
            patch.setattr(TrialWatch, "end", lambda *args: None)
            with pytest.raises(Killed):
                search(*args, **kwargs)

    return run


@pytest.mark.parametrize(
    ("kind", "kill"),
    [
        ("deep", (2, "begin")),
        ("own", (2, "end")),
        ("own", (3, "begin")),
        ("deep", (0, "train end")),
    ],
)
def test_the_score_and_the_weights_are_those_of_the_best_epoch_of_all(
    kind, kill, killed
):
    killed(HYPERMODELS[kind](), [Kill(*kill)])
    tuner = search(HYPERMODELS[kind]())
    [trial] = tuner.oracle.trials.values()
    assert trial.status == "COMPLETED"
    assert trial.score == pytest.approx(0.859)
    assert trial.best_step == 1
    for found, seen in zip(
        tuner.get_best_models()[0].get_weights(), SEEN[1], strict=True
    ):
        np.testing.assert_array_equal(found, seen)


def test_the_record_holds_all_epochs(killed):
    killed(Own(), [Kill(2)])
    [record] = project_records(Path("search/untitled_project"))
    assert (record.status, record.history["val_loss"]) == ("running", VALUES[:2])
    tuner = search(Own())
    [record] = search_report(tuner).trials[0].executions
    assert (record.status, record.epochs, record.initial_epoch) == ("completed", 4, 0)
    assert record.history["val_loss"] == VALUES


def test_a_trial_that_is_killed_twice_keeps_its_first_epochs(killed):
    killed(Own(), [Kill(2)])
    killed(Own(), [Kill(2)])
    killed(Own(), [Kill(3)])
    tuner = search(Own())
    assert search_report(tuner).trials[0].history["val_loss"] == VALUES
    assert tuner.oracle.get_best_trials()[0].score == pytest.approx(0.859)


def test_a_trial_whose_best_weights_are_gone_begins_anew(killed):
    killed(Own(), [Kill(2)])
    for file in Path("search").rglob("*.weights.h5"):
        file.unlink()
    SEEN.clear()
    tuner = search(Own())
    assert sorted(SEEN) == [0, 1, 2, 3]
    assert tuner.oracle.get_best_trials()[0].score == pytest.approx(0.859)


def test_a_backup_that_was_not_written_to_its_end_is_left_alone(killed):
    killed(Own(), [Kill(2)])
    [file] = Path("backup").rglob("training_metadata.json")
    file.write_text('{"epo')
    tuner = search(Own())
    assert tuner.oracle.get_best_trials()[0].score == pytest.approx(0.859)


def test_a_promoted_trial_of_hyperband_goes_on_alike(killed):
    options = {"tuner": keras_tuner.Hyperband, "max_epochs": 4, "factor": 4, "seed": 0}
    killed(HYPERMODELS["deep"](), [Kill(3)], **options)
    tuner = search(HYPERMODELS["deep"](), **options)
    starts = [
        trial.hyperparameters.values["tuner/initial_epoch"]
        for trial in tuner.oracle.trials.values()
    ]
    assert max(starts) > 0
    assert {t.status for t in tuner.oracle.trials.values()} == {"COMPLETED"}
    for trial in tuner.oracle.trials.values():
        values = trial.hyperparameters.values
        mine = VALUES[values["tuner/initial_epoch"] : values["tuner/epochs"]]
        assert trial.score == pytest.approx(min(mine))


def test_the_stopper_knows_the_epochs_before():
    stopper = HopelessTrialStopper(gradients=False)
    stopper.compare_with(keras_tuner.Objective("val_loss", "min"), [])
    stopper.go_on_from([{"loss": 1.0, "val_loss": 2.0}, {"loss": 0.5}])
    assert stopper._losses == [1.0, 0.5] and stopper._values == [2.0]


def test_a_backup_writes_by_itself_again_after_the_trial(tmp_path):
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    own = backup.on_epoch_end
    for _ in range(2):
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        model.compile("sgd", loss="mse")
        data = np.ones((4, 2)), np.ones((4, 1))
        fit_trial(model.fit, *data, callbacks=[backup], verbose=0)
        assert backup.on_epoch_end == own
