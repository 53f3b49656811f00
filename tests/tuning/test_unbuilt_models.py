"""A search over models that know their sizes only from the data."""

import keras
import keras_tuner
import numpy as np
import pytest

from keras_deeptools.tuning import DeepHyperModel, HopelessTrialStopper, objective

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(32, 4)).astype("float32")
Y = (X[:, 0] > 0).astype(int)
# Those whose build or fit needs sizes; initialization has tests of its own.
PARTS = [
    "optimizer",
    "learning_rate",
    "dropout_rate",
    "label_smoothing",
    "one_cycle",
    "max_norm",
    "clipping",
    "weight_averaging",
    "batch_size",
]


def compiled(model):
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def sequential(hp):
    layers = [keras.layers.Dense(hp.Int("units", 4, 8), "relu")]
    layers += [keras.layers.Dropout(0.2), keras.layers.Dense(2, "softmax")]
    return compiled(keras.Sequential(layers))


class Subclassed(keras.Model):
    def __init__(self, units):
        super().__init__()
        self.hidden = keras.layers.Dense(units, "relu")
        self.drop = keras.layers.Dropout(0.2)
        self.top = keras.layers.Dense(2, "softmax")

    def call(self, x, training=False):
        return self.top(self.drop(self.hidden(x), training=training))


def subclassed(hp):
    return compiled(Subclassed(hp.Int("units", 4, 8)))


@pytest.fixture(autouse=True)
def in_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.alternates("build")
@pytest.mark.parametrize("build", [sequential, subclassed])
def test_all_parts_of_a_search_take_a_model_that_is_not_built(build):
    hypermodel = DeepHyperModel(
        build,
        max_epochs=2,
        parts=PARTS,
        always=["one_cycle", "max_norm", "clipping", "weight_averaging"],
        mc_samples=3,
    )
    tuner = keras_tuner.RandomSearch(
        hypermodel, objective("val_mc_log_likelihood"), max_trials=1, seed=0
    )
    callbacks = [HopelessTrialStopper(), keras.callbacks.BackupAndRestore("backup")]
    data = {"validation_data": (X, Y), "epochs": 2, "verbose": 0}
    tuner.search(X, Y, callbacks=callbacks, **data)
    [trial] = tuner.oracle.trials.values()
    assert trial.status == "COMPLETED"
    assert tuner.get_best_models()[0].predict(X, verbose=0).shape == (32, 2)


@pytest.mark.alternates("build")
@pytest.mark.parametrize("build", [sequential, subclassed])
def test_a_new_session_loads_the_best_model(build):
    def tuner():
        hypermodel = DeepHyperModel(build, max_epochs=1, parts=["optimizer"])
        return keras_tuner.RandomSearch(hypermodel, objective("loss"), max_trials=1)

    first = tuner()
    first.search(X, Y, epochs=1, verbose=0)
    expected = first.get_best_models()[0].predict(X, verbose=0)
    found = tuner().get_best_models()[0].predict(X, verbose=0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


class Start(keras.callbacks.Callback):
    """Notes with how many updates each trial begins."""

    seen: list[tuple[int, int]] = []

    def on_epoch_begin(self, epoch, logs=None):
        Start.seen.append((epoch, int(self.model.optimizer.iterations.value)))


def test_a_promoted_model_goes_on_with_the_state_of_its_optimizer():
    Start.seen.clear()
    hypermodel = DeepHyperModel(sequential, max_epochs=2, parts=["one_cycle"])
    tuner = keras_tuner.Hyperband(
        hypermodel, objective("val_loss"), max_epochs=2, factor=2, seed=1
    )
    data = {"validation_data": (X, Y), "verbose": 0}
    tuner.search(X, Y, callbacks=[Start()], **data)
    trials = tuner.oracle.trials.values()
    assert not [t.message for t in trials if t.status != "COMPLETED"]
    assert {updates for epoch, updates in Start.seen if epoch == 0} == {0}
    assert {updates for epoch, updates in Start.seen if epoch == 1} == {1}


def test_a_generator_gives_all_of_its_batches():
    seen = []

    class Counted(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(batch)

    hypermodel = DeepHyperModel(sequential, max_epochs=1, parts=[])
    model = hypermodel.build(keras_tuner.HyperParameters())
    batches = ((X[i : i + 8], Y[i : i + 8]) for i in range(0, 32, 8))
    hypermodel.fit(
        keras_tuner.HyperParameters(),
        model,
        batches,
        callbacks=[Counted()],
        shuffle=False,
        steps_per_epoch=4,
        verbose=0,
    )
    assert seen == [0, 1, 2, 3]
