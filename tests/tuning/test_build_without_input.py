"""Searches whose models come without an `Input`."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest
from keras import layers

from keras_deeptools.tuning import DeepHyperModel

RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 4)).astype("float32")
Y = (X[:, :1] > 0).astype("float32")
HELD_OUT = (X[:8], Y[:8])


def compiled(model: keras.Model) -> keras.Model:
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return model


def row(hp: Any) -> keras.Model:
    units = hp.Choice("units", [4, 6])
    hidden = [layers.Dense(units, "relu"), layers.Dropout(0.3)]
    return compiled(
        keras.Sequential(
            [*hidden, layers.BatchNormalization(), layers.Dense(1, "sigmoid")]
        )
    )


class Own(keras.Model):
    def __init__(self, units: int) -> None:
        super().__init__()
        self.hidden = layers.Dense(units, "relu")
        self.dropout = layers.Dropout(0.4)
        self.top = layers.Dense(1, "sigmoid")

    def call(self, x: object, training: bool = False) -> object:
        return self.top(self.dropout(self.hidden(x), training=training))


def own(hp: Any) -> keras.Model:
    return compiled(Own(hp.Choice("units", [4, 6])))


def search(tuner: Any, **options: Any) -> list[str]:
    tuner.search(X, Y, validation_data=HELD_OUT, verbose=0, **options)
    return [trial.status for trial in tuner.oracle.trials.values()]


@pytest.mark.alternates("build")
@pytest.mark.parametrize("build", [own, row])
def test_a_search_with_all_parts_completes_and_gives_back_its_best_model(
    build: Callable, tmp_path: Path
) -> None:
    tuner = keras_tuner.RandomSearch(
        DeepHyperModel(build, max_epochs=2),
        objective="val_loss",
        max_trials=2,
        seed=1,
        directory=tmp_path,
    )
    assert search(tuner, epochs=2) == ["COMPLETED"] * 2
    best = tuner.oracle.get_best_trials(1)[0]
    (model,) = tuner.get_best_models(1)
    loss = model.evaluate(*HELD_OUT, verbose=0)[0]
    assert loss == pytest.approx(best.score, rel=1e-3)


@pytest.mark.one_backend
def test_hyperband_goes_on_with_the_weights_of_its_trials(tmp_path: Path) -> None:
    tuner = keras_tuner.Hyperband(
        DeepHyperModel(row, max_epochs=2, parts=["optimizer", "initializer"]),
        objective="val_loss",
        max_epochs=2,
        factor=2,
        seed=1,
        directory=tmp_path,
    )
    assert set(search(tuner)) == {"COMPLETED"}


def test_a_model_that_is_not_built_can_be_given_itself() -> None:
    model = compiled(
        keras.Sequential([layers.Dense(3), layers.Dropout(0.2), layers.Dense(1)])
    )
    hypermodel = DeepHyperModel(model, max_epochs=1, parts=["dropout_rate"])
    hp = keras_tuner.HyperParameters()
    made = hypermodel.build(hp)
    assert made.layers[1].rate == hp.get("dropout_rate")
    hypermodel.fit(hp, made, X, Y, verbose=0)
    assert made.built and not model.built


def test_a_model_that_cannot_be_copied_is_refused_with_the_remedy() -> None:
    with pytest.raises(
        ValueError, match="DeepHyperModel: `build` must be a model that"
    ):
        DeepHyperModel(Own(4), max_epochs=1)


def test_the_initializer_part_draws_the_kernels_of_a_model_built_later() -> None:
    keras.utils.set_random_seed(0)
    stack = [layers.Dense(300, "relu"), layers.Dense(300), layers.Dense(1, "sigmoid")]
    hypermodel = DeepHyperModel(
        lambda hp: compiled(keras.Sequential(list(stack))),
        max_epochs=1,
        parts=["initializer"],
        always=["initializer"],
    )
    hp = keras_tuner.HyperParameters()
    model = hypermodel.build(hp)
    model.optimizer.learning_rate = 0.0
    hypermodel.fit(hp, model, X, Y, verbose=0)
    kernel = np.asarray(model.layers[1].kernel)
    assert kernel.std() == pytest.approx((2 / 300) ** 0.5, rel=0.05)


def test_a_generator_loses_no_batch() -> None:
    seen = []

    def batches() -> Iterator[tuple]:
        for start in range(0, 32, 8):
            seen.append(start)
            yield X[start : start + 8], Y[start : start + 8]

    hypermodel = DeepHyperModel(row, max_epochs=1, parts=["clipping"])
    hp = keras_tuner.HyperParameters()
    model = hypermodel.build(hp)
    options = {"steps_per_epoch": 4, "shuffle": False, "verbose": 0}
    hypermodel.fit(hp, model, batches(), **options)
    assert seen == [0, 8, 16, 24] and int(model.optimizer.iterations) == 4
