import copy

import keras
import keras_tuner
import numpy as np
import pytest

from keras_deeptools.callbacks import OneCycleScheduler
from keras_deeptools.tuning import DeepHyperModel, searched_optimizer

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(64, 4)).astype("float32")
Y = keras.utils.to_categorical((X[:, 0] > 0).astype(int), 2)


def make_model(hp: object = None, rate: float = 0.2) -> keras.Model:
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(8, "relu"),
            keras.layers.Dropout(rate),
            keras.layers.Dense(2, "softmax"),
        ]
    )
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    return model


def names(hypermodel: DeepHyperModel) -> set[str]:
    """All hyperparameters of building and fitting."""
    hp = keras_tuner.HyperParameters()
    model = hypermodel.build(hp)
    hypermodel.fit(hp, model, X, Y, epochs=1, verbose=0)
    return {one.name for one in hp.space}


def search(tuner: keras_tuner.Tuner) -> keras_tuner.Tuner:
    data = {"validation_data": (X, Y), "batch_size": 32}
    tuner.search(X, Y, epochs=3, verbose=0, **data)
    return tuner


TUNERS = {
    "random": lambda model, path: keras_tuner.RandomSearch(
        model, "val_loss", max_trials=2, seed=0, directory=path
    ),
    "bayesian": lambda model, path: keras_tuner.BayesianOptimization(
        model, "val_loss", max_trials=2, seed=0, directory=path
    ),
    "grid": lambda model, path: keras_tuner.GridSearch(
        model, "val_loss", max_trials=2, seed=0, directory=path
    ),
    "hyperband": lambda model, path: keras_tuner.Hyperband(
        model, "val_loss", max_epochs=3, factor=3, seed=0, directory=path
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", TUNERS)
def test_every_tuner_ends_with_all_trials_completed(kind: str, tmp_path) -> None:
    hypermodel = DeepHyperModel(make_model, max_epochs=3)
    tuner = search(TUNERS[kind](hypermodel, tmp_path))
    trials = tuner.oracle.trials.values()
    assert len(trials) >= 2
    assert {trial.status for trial in trials} == {"COMPLETED"}


def test_all_parts_are_searched_by_default() -> None:
    found = names(DeepHyperModel(make_model, max_epochs=2))
    assert found >= {
        "optimizer/name",
        "optimizer/adamw/learning_rate",
        "one_cycle",
        "one_cycle/warmup_fraction",
        "max_norm",
        "max_norm/max_norm",
        "clipping/global_norm",
        "initializer",
        "dropout_rate",
        "label_smoothing",
        "batch_size",
    }


@pytest.mark.one_backend
def test_only_the_chosen_parts_are_searched() -> None:
    found = names(DeepHyperModel(make_model, max_epochs=2, parts=["max_norm"]))
    assert found == {"max_norm", "max_norm/max_norm"}


ON_OR_OFF = ["initializer", "one_cycle", "max_norm", "clipping", "weight_averaging"]


@pytest.mark.one_backend
@pytest.mark.parametrize("part", ON_OR_OFF)
def test_a_part_that_every_trial_has_is_not_switched(part: str) -> None:
    maybe = names(DeepHyperModel(make_model, max_epochs=2, parts=[part]))
    hypermodel = DeepHyperModel(make_model, max_epochs=2, parts=[part], always=[part])
    assert names(hypermodel) == maybe - {part}


@pytest.mark.one_backend
def test_1cycle_is_in_a_trial_that_would_else_be_without() -> None:
    model = make_model()
    hypermodel = DeepHyperModel(
        model, max_epochs=2, parts=["one_cycle"], always=["one_cycle"]
    )
    hp = keras_tuner.HyperParameters()
    hp.values["one_cycle"] = False
    history = hypermodel.fit(hp, hypermodel.build(hp), X, Y, epochs=2, verbose=0)
    first, last = history.history["learning_rate"]
    assert last < first


@pytest.mark.parametrize("always", [["one_cycle"], ["optimizer"], ["warmup"]])
def test_a_part_that_cannot_be_in_every_trial_is_named(always: list[str]) -> None:
    rule = "`always` must be names of parts that are on or off: clipping"
    with pytest.raises(ValueError, match=rule):
        DeepHyperModel(
            make_model, max_epochs=2, parts=["optimizer", "clipping"], always=always
        )


@pytest.mark.one_backend
def test_hyperparameters_of_the_users_own_live_beside_ours() -> None:
    def build(hp: keras_tuner.HyperParameters) -> keras.Model:
        return make_model(rate=hp.Float("mine", 0.1, 0.2))

    assert "mine" in names(DeepHyperModel(build, max_epochs=2, parts=["max_norm"]))


@pytest.mark.one_backend
def test_a_given_model_is_copied_with_fresh_weights_for_each_trial() -> None:
    model = make_model()
    before = model.get_weights()
    hypermodel = DeepHyperModel(model, max_epochs=2, parts=["optimizer"])
    hp = keras_tuner.HyperParameters()
    first, second = hypermodel.build(hp), hypermodel.build(hp)
    hypermodel.fit(hp, first, X, Y, verbose=0)
    assert not np.array_equal(first.get_weights()[0], second.get_weights()[0])
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.one_backend
def test_loss_and_metrics_are_those_that_the_model_was_compiled_with() -> None:
    hypermodel = DeepHyperModel(make_model(), max_epochs=2, parts=["optimizer"])
    hp = keras_tuner.HyperParameters()
    history = hypermodel.fit(hp, hypermodel.build(hp), X, Y, verbose=0).history
    assert set(history) == {"loss", "accuracy"}


def test_the_dropout_rate_of_a_trial_is_that_of_its_hyperparameter() -> None:
    hp = keras_tuner.HyperParameters()
    hp.values["dropout_rate"] = 0.35
    hypermodel = DeepHyperModel(make_model, max_epochs=2, parts=["dropout_rate"])
    assert hypermodel.build(hp).layers[1].rate == 0.35


def test_labels_are_smoothed_by_the_loss() -> None:
    hp = keras_tuner.HyperParameters()
    hp.values["label_smoothing"] = 0.1
    hypermodel = DeepHyperModel(make_model, max_epochs=2, parts=["label_smoothing"])
    assert hypermodel.build(hp).loss.label_smoothing == 0.1


class Rates(keras.callbacks.Callback):
    """Rates in the logs of each epoch."""

    def __init__(self, seen: list[float]) -> None:
        super().__init__()
        self.seen = seen

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.seen.append(float(logs["learning_rate"]))


def test_1cycle_goes_on_over_rungs_as_in_one_fit() -> None:
    hp = keras_tuner.HyperParameters()
    hp.values |= {"one_cycle": True, "batch_size": 32}
    hypermodel = DeepHyperModel(
        make_model, max_epochs=6, parts=["one_cycle", "batch_size"]
    )
    whole: list[float] = []
    model = hypermodel.build(hp)
    hypermodel.fit(hp, model, X, Y, epochs=6, callbacks=[Rates(whole)], verbose=0)
    rungs: list[float] = []
    model = hypermodel.build(hp)
    for start, end in ((0, 2), (2, 6)):
        weights = model.get_weights()
        variables = [np.array(v) for v in map(keras.ops.convert_to_numpy, opt(model))]
        model = hypermodel.build(hp)
        model.set_weights(weights)
        for variable, value in zip(opt(model), variables, strict=True):
            variable.assign(value)
        hypermodel.fit(
            hp,
            model,
            X,
            Y,
            initial_epoch=start,
            epochs=end,
            callbacks=[Rates(rungs)],
            verbose=0,
        )
    np.testing.assert_allclose(rungs, whole, rtol=1e-6)
    reference = OneCycleScheduler(1.0, total_steps=12)
    assert len(whole) == 6 and reference.total_steps == 12


def opt(model: keras.Model) -> list[keras.Variable]:
    return model.optimizer.variables


@pytest.mark.one_backend
def test_a_trial_whose_loss_is_not_finite_fails_and_says_when() -> None:
    hypermodel = DeepHyperModel(make_model, max_epochs=2, parts=["optimizer"])
    hp = keras_tuner.HyperParameters()
    model = hypermodel.build(hp)
    bad = np.full_like(Y, np.nan)
    with pytest.raises(keras_tuner.errors.FailedTrialError, match="epoch 1"):
        hypermodel.fit(hp, model, X, bad, epochs=2, verbose=0)


@pytest.mark.one_backend
def test_a_callback_of_the_search_is_kept() -> None:
    hypermodel = DeepHyperModel(make_model, max_epochs=2, parts=["one_cycle"])
    hp = keras_tuner.HyperParameters()
    seen: list[float] = []
    model = hypermodel.build(hp)
    hypermodel.fit(hp, model, X, Y, epochs=2, callbacks=[Rates(seen)], verbose=0)
    assert len(seen) == 2


def test_a_hypermodel_can_be_copied() -> None:
    again = copy.deepcopy(DeepHyperModel(make_model(), max_epochs=2))
    assert again.build(keras_tuner.HyperParameters()).built


def test_an_optimizer_has_a_rate_of_its_own_in_the_search() -> None:
    hp = keras_tuner.HyperParameters()
    hp.values["optimizer/name"] = "sgd"
    assert isinstance(searched_optimizer(hp), keras.optimizers.SGD)
    assert "optimizer/sgd/learning_rate" in hp.values


@pytest.mark.parametrize("name", ["adam", "adamw", "lion", "nadam", "rmsprop", "sgd"])
def test_an_optimizer_is_made_by_name(name: str) -> None:
    made = searched_optimizer(keras_tuner.HyperParameters(), [name])
    assert type(made).__name__.lower() == name


def test_two_searches_of_one_optimizer_under_one_name_are_refused() -> None:
    hp = keras_tuner.HyperParameters()
    searched_optimizer(hp, ["adamw", "sgd"])
    with pytest.raises(ValueError, match="'adamw'. Give both the same names"):
        searched_optimizer(hp, ["lion", "sgd"])


def test_an_unknown_optimizer_is_named() -> None:
    with pytest.raises(ValueError, match=r"searched_optimizer: `names` must be"):
        searched_optimizer(keras_tuner.HyperParameters(), ["adamm"])


def test_an_unknown_part_is_named() -> None:
    with pytest.raises(ValueError, match=r"DeepHyperModel: `parts` must be.*one_cycle"):
        DeepHyperModel(make_model, max_epochs=2, parts=["onecycle"])


def test_a_model_without_a_loss_is_named() -> None:
    def build(hp: object) -> keras.Model:
        return keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])

    with pytest.raises(ValueError, match="DeepHyperModel: `loss` must be given"):
        DeepHyperModel(build, max_epochs=2).build(keras_tuner.HyperParameters())


def test_a_tuner_knows_the_rate_of_every_optimizer_before_the_first_trial() -> None:
    hp = keras_tuner.HyperParameters()
    searched_optimizer(hp, ["adamw", "sgd", "lion"])
    rates = [one.name for one in hp.space if one.name.endswith("learning_rate")]
    assert len(rates) == 3
