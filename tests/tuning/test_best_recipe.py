from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest

from keras_deeptools.tuning import (
    DeepHyperModel,
    FloatRange,
    IntRange,
    SearchedTrial,
    TransferHyperModel,
    mlp_family,
    search_report,
)
from keras_deeptools.tuning._search_report.best_recipe import recipe
from tuning.searches import Kept, measured, peak, random_search

pytestmark = pytest.mark.one_backend

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(32, 4)).astype("float32")
Y = keras.utils.to_categorical((X[:, 0] > 0).astype(int), 2)


def build(hp: Any) -> keras.Model:
    units = hp.Int("units", 2, 9)
    hidden = keras.layers.Dense(units, hp.Choice("activation", ["relu", "tanh"]))
    model = keras.Sequential(
        [keras.Input((4,)), hidden, keras.layers.Dense(2, "softmax")]
    )
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    return model


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A search of two trials that trained with everything that fits."""
    hypermodel = DeepHyperModel(
        build, max_epochs=2, parts=["optimizer", "one_cycle", "batch_size"]
    )
    tuner = keras_tuner.RandomSearch(
        hypermodel,
        "loss",
        max_trials=2,
        seed=1,
        directory=tmp_path_factory.mktemp("search"),
    )
    tuner.search(X, Y, epochs=2, verbose=0)
    return tuner


def recipe_of(hypermodel: Any, **values: Any) -> str:
    """The recipe of a trial that nobody has run."""
    return recipe(SearchedTrial("7", 8, "completed", values), hypermodel, "loss", 9)


def config_of(model: keras.Model) -> list[dict]:
    """What the layers and the optimizer are, names apart."""
    configs = [layer.get_config() for layer in model.layers]
    configs.append(model.optimizer.get_config())
    return [{k: v for k, v in one.items() if k != "name"} for one in configs]


def run(code: str, **names: Any) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "__recipe__", **names}
    exec(compile(code, "recipe", "exec"), namespace)
    return namespace


def test_the_recipe_of_a_search_gives_the_configuration_and_trains(
    searched: Any,
) -> None:
    made = run(search_report(searched).best_recipe(), build=build)
    best = searched.get_best_hyperparameters()[0]
    assert made["hp"].values == best.values
    assert config_of(made["model"]) == config_of(searched.hypermodel.build(best))
    history = made["train"](X, Y, verbose=0)
    assert len(history.history["loss"]) == 2
    assert made["hp"].values == best.values


def test_a_recipe_names_score_trial_and_epochs(searched: Any) -> None:
    code = search_report(searched).best_recipe()
    best = searched.oracle.get_best_trials()[0]
    assert code.startswith(f'"""The best of 2 trials: loss {best.score:.5g}.')
    assert f"Trial {best.trial_id}, best in epoch 2." in code
    assert 'kwargs.setdefault("epochs", 2)' in code


def test_arguments_that_are_the_defaults_are_left_out(searched: Any) -> None:
    code = search_report(searched).best_recipe()
    assert "optimizers=" not in code and "metrics=" not in code
    assert "parts=('optimizer', 'one_cycle', 'batch_size')" in code
    assert "max_epochs=2" in code


def test_the_recipe_of_a_plain_function_gives_the_configuration(tmp_path: Path) -> None:
    tuner = keras_tuner.RandomSearch(build, "loss", max_trials=1, directory=tmp_path)
    code = recipe_of(tuner.hypermodel, units=5, activation="tanh")
    made = run(code, build=build)
    hp = keras_tuner.HyperParameters()
    hp.values = {"units": 5, "activation": "tanh"}
    assert config_of(made["model"]) == config_of(build(hp))
    assert made["train"](X, Y, epochs=1, verbose=0).epoch == [0]


def test_what_can_be_imported_is_imported() -> None:
    code = recipe_of(DeepHyperModel(peak, max_epochs=2))
    assert "from tuning.searches import peak" in code and "build=peak," in code
    assert "from keras_deeptools.tuning import DeepHyperModel" in code
    assert "Define" not in code


def test_the_recipe_of_ones_own_hypermodel_says_what_to_define() -> None:
    class Net(keras_tuner.HyperModel):
        def build(self, hp: Any) -> keras.Model:
            return build(hp)

    code = recipe_of(Net(), units=3)
    assert "Define `hypermodel` (a `Net`) first" in code
    assert run(code, hypermodel=Net())["model"].layers[0].units == 3


class Unselfish(keras_tuner.HyperModel):
    """One that does not call itself `self`."""

    def __init__(this, units: int) -> None:  # noqa: N805
        super().__init__()
        this.units = units

    def build(this, hp: Any) -> keras.Model:  # noqa: N805
        return build(hp)


def test_a_hypermodel_may_call_itself_by_another_name() -> None:
    code = recipe_of(Unselfish(3), units=4, activation="relu")
    assert "Unselfish(\n    units=3,\n)" in code
    assert run(code)["model"].layers[0].units == 4


def test_a_hypermodel_that_does_not_keep_its_arguments_is_not_made_again() -> None:
    assert "hypermodel = Kept(\n    units=3,\n)" in recipe_of(Kept(3))
    code = recipe_of(Kept(3, keeps=False))
    assert "Define `hypermodel` (a `Kept`) first" in code
    assert "hypermodel =" not in code


def test_the_recipe_of_a_model_that_was_searched_runs_by_itself() -> None:
    model = build(keras_tuner.HyperParameters())
    code = recipe_of(DeepHyperModel(model, max_epochs=2, parts=["optimizer"]))
    assert "Define" not in code
    made = run(code)
    assert [layer.name for layer in made["model"].layers] == [
        layer.name for layer in model.layers
    ]
    history = made["train"](X, Y, verbose=0, epochs=1).history
    assert set(history) == {"accuracy", "loss"}


@keras.saving.register_keras_serializable(package="recipe_tests")
class Twice(keras.layers.Layer):
    def call(self, x: Any) -> Any:
        return 2 * x


def test_a_model_with_layers_and_losses_of_its_own_runs_by_itself() -> None:
    layers = [Twice(), keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input((4,)), *layers])
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    hypermodel = DeepHyperModel(
        model,
        max_epochs=1,
        parts=["optimizer"],
        loss=loss,
        metrics=[keras.metrics.CategoricalAccuracy(name="right")],
    )
    made = run(recipe_of(hypermodel))
    assert type(made["model"].layers[0]) is Twice
    assert "right" in made["train"](X, Y, verbose=0, epochs=1).history


def test_a_model_that_cannot_be_written_is_named_in_the_first_lines() -> None:
    class Same(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return x

    layers = [Same(), keras.layers.Dense(2, "softmax")]
    model = keras.Sequential([keras.Input((4,)), *layers])
    model.compile("sgd", "categorical_crossentropy")
    code = recipe_of(DeepHyperModel(model, max_epochs=2, parts=["optimizer"]))
    assert "Define `build` first, as for the search." in code.split("import")[0]
    assert len(run(code, build=model)["model"].layers) == 2


def test_the_recipe_of_a_family_runs_by_itself() -> None:
    family = mlp_family(4, 2, width=IntRange(4, 8), adapt_to=X)
    made = run(recipe_of(DeepHyperModel(family, max_epochs=2, parts=["optimizer"])))
    assert made["model"].output_shape == (None, 2)


def test_the_recipe_of_a_transfer_search_makes_its_hypermodel() -> None:
    hypermodel = TransferHyperModel(
        10,
        max_epochs=2,
        input_shape=(32, 32, 3),
        backbones="MobileNetV2",
        dropout_rate=FloatRange(0.1, 0.2),
        weights=None,
    )
    code = recipe_of(hypermodel)
    assert "Define" not in code and "epochs=2" in code
    made = run(code.split("model = hypermodel")[0])["hypermodel"]
    assert made.choices == hypermodel.choices and made.num_classes == 10


WIDTH = 3


def test_the_source_of_a_function_inside_another_is_written_out() -> None:
    depth = 2

    def stack(hp: Any) -> keras.Model:
        layers = [keras.layers.Dense(WIDTH) for _ in range(depth)]
        model = keras.Sequential([keras.Input((4,)), *layers])
        model.compile("sgd", "mse")
        return model

    code = recipe_of(DeepHyperModel(stack, max_epochs=2, parts=["optimizer"]))
    assert "Define" not in code and "depth = 2" in code
    assert len(run(code)["model"].layers) == 2
    plain = keras_tuner.RandomSearch(stack, "loss", directory="plain")
    assert len(run(recipe_of(plain.hypermodel))["model"].layers) == 2


def test_values_of_all_kinds_come_back_as_they_were(tmp_path: Path) -> None:
    def score(hp: Any) -> float:
        hp.Choice("text", ['it\'s "so"\n'])
        hp.Boolean("flag")
        hp.Int("count", 1, 3)
        return hp.Float("share", 0.1, 0.2)

    tuner = random_search(tmp_path, 2, score=score)
    tuner.search(verbose=0)
    code = search_report(tuner).best_recipe()
    assert "Define `hypermodel` first" in code

    class Nothing:
        build = staticmethod(lambda hp: None)

    made = run(code, hypermodel=Nothing)
    assert made["hp"].values == tuner.get_best_hyperparameters()[0].values


@pytest.mark.parametrize("kind", ["BayesianOptimization", "GridSearch"])
def test_every_tuner_has_a_report(kind: str, tmp_path: Path) -> None:
    tuner = measured(getattr(keras_tuner, kind))(
        objective=keras_tuner.Objective("score", "max"),
        max_trials=8,
        max_consecutive_failed_trials=9,
        directory=tmp_path,
    )
    tuner.search(verbose=0)
    report = search_report(tuner)
    assert report.tuner == "Measured" and len(report.trials) == 8
    assert "rate" in report.table()
