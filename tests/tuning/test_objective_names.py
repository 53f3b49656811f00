"""A search whose objective is not logged says so, and names what is."""

import keras
import keras_tuner
import numpy as np
import pytest

from keras_deeptools.tuning import DeepHyperModel, fit_trial, objective

pytestmark = pytest.mark.one_backend

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(16, 4)).astype("float32")
Y = (X[:, 0] > 0).astype(int)


def build(hp):
    units = hp.Int("units", 2, 9)
    layers = [keras.layers.Dense(units), keras.layers.Dense(1, "sigmoid")]
    model = keras.Sequential([keras.Input((4,)), *layers])
    model.compile("sgd", "binary_crossentropy", metrics=["accuracy"])
    return model


class Own(keras_tuner.HyperModel):
    """A user's own hypermodel, which may return the objective itself."""

    def __init__(self, returns=None):
        super().__init__()
        self.returns = returns

    def build(self, hp):
        return build(hp)

    def fit(self, hp, model, *args, **kwargs):
        history = fit_trial(model.fit, *args, **kwargs)
        return history if self.returns is None else self.returns


def search(hypermodel, name, direction=None, **options):
    tuner = keras_tuner.RandomSearch(
        hypermodel, objective(name, direction), max_trials=2
    )
    options = {"epochs": 2, "verbose": 0, "validation_data": (X, Y)} | options
    tuner.search(X, Y, **options)
    return tuner


@pytest.fixture(autouse=True)
def in_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


class Epochs(keras.callbacks.Callback):
    """Counts the epochs of all trials."""

    count = 0

    def on_epoch_begin(self, epoch, logs=None):
        Epochs.count += 1


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("val_acc", {}, "'val_accuracy'.*Did you mean 'val_accuracy'"),
        ("val_auc", {}, "the logs hold 'accuracy', 'loss'"),
        (
            "val_loss",
            {"validation_data": None},
            "the logs hold 'accuracy', 'loss'.*validation_data or validation_split",
        ),
    ],
)
def test_the_first_epoch_ends_the_search_with_the_names_there_are(name, options, words):
    Epochs.count = 0
    with pytest.raises(keras_tuner.errors.FatalValueError, match=words):
        hypermodel = DeepHyperModel(build, max_epochs=2, parts=[])
        search(hypermodel, name, callbacks=[Epochs()], **options)
    assert Epochs.count == 1


def test_an_objective_that_a_callback_adds_is_logged():
    class Profit(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["profit"] = epoch

    hypermodel = DeepHyperModel(build, max_epochs=2, parts=[])
    tuner = search(hypermodel, "profit", "max", callbacks=[Profit()])
    assert tuner.oracle.get_best_trials()[0].score == 1


def test_validation_in_every_second_epoch_is_waited_for():
    hypermodel = DeepHyperModel(build, max_epochs=4, parts=[])
    tuner = search(hypermodel, "val_loss", epochs=5, validation_freq=2)
    for trial in tuner.oracle.trials.values():
        assert trial.status == "COMPLETED" and np.isfinite(trial.score)
        assert trial.best_step in (1, 3)


def test_a_fit_of_ones_own_is_warned():
    with (
        pytest.warns(UserWarning, match="objective='val_auc'.*'val_loss'"),
        pytest.raises(RuntimeError),
    ):
        tuner = keras_tuner.RandomSearch(
            Own(), objective("val_auc"), max_trials=2, max_consecutive_failed_trials=1
        )
        tuner.search(X, Y, epochs=1, verbose=0, validation_data=(X, Y))


def test_a_fit_of_ones_own_may_return_the_objective():
    with pytest.warns(UserWarning, match="unless the `fit`"):
        tuner = search(Own({"val_profit": 3.0}), "val_profit", "max")
    assert tuner.oracle.get_best_trials()[0].score == 3.0


def test_a_subclass_may_return_the_objective():
    class Judged(DeepHyperModel):
        def fit(self, hp, model, *args, **kwargs):
            super().fit(hp, model, *args, **kwargs)
            return {"profit": 2.0}

    with pytest.warns(UserWarning, match="unless the `fit`"):
        tuner = search(Judged(build, max_epochs=2, parts=[]), "profit", "max")
    assert tuner.oracle.get_best_trials()[0].score == 2.0
