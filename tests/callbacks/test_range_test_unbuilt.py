"""The range test before a model is built: it leaves what `fit` would have found."""

import functools
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_deeptools.callbacks import LearningRateFinder, find_learning_rate
from keras_deeptools.engine import preserved
from keras_deeptools.engine._data.batch_loss import batch_logs
from keras_deeptools.engine._data.fit_batches import Batches

BACKEND = keras.backend.backend()
ON_TENSORFLOW = BACKEND == "tensorflow"
X = np.random.default_rng(0).normal(size=(40, 4)).astype("float32")
Y = X[:, :1] - 2 * X[:, 1:2]
OPTIONS: dict[str, Any] = {"num_steps": 10, "verbose": 0, "batch_size": 8}


def state(model: keras.Model) -> list[np.ndarray]:
    variables = [*model.variables, *model.optimizer.variables]
    return [np.array(keras.ops.convert_to_numpy(v.value)) for v in variables]


def sequential() -> keras.Model:
    return keras.Sequential(
        [
            keras.layers.Dense(6, "relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(1),
        ]
    )


class Subclassed(keras.Model):
    """Layers made in `__init__`, others in `build` of a layer inside."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = [sequential() for _ in range(2)]
        self.noise = keras.layers.GaussianNoise(0.1)

    def call(self, x: Any, training: bool | None = None) -> Any:
        parts = [block(x, training=training) for block in self.blocks]
        return keras.layers.add(parts) + self.noise(x, training=training)[:, :1]


class Trainer(keras.Model):
    """Holds a network, has no `call`, and adds a layer that only its step calls."""

    def __init__(self) -> None:
        super().__init__()
        self.network = sequential()
        self.head = keras.layers.Dense(1)
        self.loss_tracker = keras.metrics.Mean(name="loss")

    def prediction(self, x: Any) -> Any:
        return self.head(self.network(x, training=True))

    def train_step(self, data: Any) -> Any:
        x, y = data
        with tf.GradientTape() as tape:
            loss = keras.ops.mean(keras.ops.square(self.prediction(x) - y))
        weights = self.trainable_weights
        self.optimizer.apply(tape.gradient(loss, weights), weights)
        self.loss_tracker.update_state(loss)
        return {"loss": self.loss_tracker.result()}


class Generative(Trainer):
    """Its `call` takes noise of another width than the data, as that of a GAN does."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = keras.layers.Dense(4)

    def call(self, noise: Any) -> Any:
        return self.head(self.network(self.generator(noise)))

    def prediction(self, x: Any) -> Any:
        return super().prediction(x + self.generator(keras.ops.ones((8, 7))))


MODELS: dict[str, Any] = {"Sequential": sequential, "subclassed": Subclassed}
if ON_TENSORFLOW:  # Keras itself builds these only here.
    MODELS |= {"trainer without call": Trainer, "generative": Generative}
# One that Keras builds from the data, and one that its first step builds.
EAGER = [name for name in ("subclassed", "generative") if name in MODELS]


def compiled(name: str, **kwargs: Any) -> keras.Model:
    keras.utils.set_random_seed(1)
    model = MODELS[name]()
    if isinstance(model, Trainer):
        model.compile(optimizer="adam", **kwargs)
    else:
        model.compile("adam", loss="mse", metrics=["mae"], **kwargs)
    return model


def assert_same(these: list[np.ndarray], those: list[np.ndarray]) -> None:
    assert len(these) == len(those)
    for this, that in zip(these, those, strict=True):
        np.testing.assert_array_equal(this, that)


def fitted(model: keras.Model, *callbacks: Any) -> tuple[dict, list[np.ndarray]]:
    """What `fit` tells, and the state that it leaves."""
    fit = model.fit(X, Y, 8, 2, 0, callbacks=list(callbacks))
    return fit.history, state(model)


@functools.cache
def plain(name: str, eager: bool = False) -> tuple[dict, list[np.ndarray]]:
    """A first `fit` of a new model, made once."""
    return fitted(compiled(name, run_eagerly=eager))


@pytest.mark.parametrize(
    "name, eager",
    [*((name, False) for name in MODELS), *((name, True) for name in EAGER)],
)
def test_find_before_the_first_fit_then_fit_equals_fit(name: str, eager: bool) -> None:
    expected = plain(name, eager)
    model = compiled(name, run_eagerly=eager)
    found = find_learning_rate(model, X, Y, **OPTIONS)
    assert len(found.losses) > 5
    assert not model.optimizer.built
    history, after = fitted(model)
    assert history == expected[0]
    assert_same(after, expected[1])


@pytest.mark.parametrize("name", MODELS)
def test_find_after_a_first_fit_changes_nothing(name: str) -> None:
    results = []
    for searched in (False, True):
        model = compiled(name)
        model.fit(X, Y, batch_size=8, verbose=0)
        before = state(model)
        if searched:
            find_learning_rate(model, X, Y, **OPTIONS)
            assert_same(state(model), before)
        history = model.fit(X, Y, batch_size=8, verbose=0).history
        results.append((history, state(model)))
    assert results[1][0] == results[0][0]
    assert_same(results[1][1], results[0][1])


@pytest.mark.parametrize("name", MODELS)
def test_the_callback_builds_what_fit_is_about_to_build(name: str) -> None:
    expected = plain(name)
    finder = LearningRateFinder(X, Y, apply=False, **OPTIONS)
    history, after = fitted(compiled(name), finder)
    assert history == expected[0]
    assert_same(after, expected[1])


def test_the_callback_sets_the_rate_of_a_model_that_is_not_built() -> None:
    model = keras.Sequential([keras.layers.Dense(1, kernel_initializer="zeros")])
    model.compile("sgd", loss="mse")
    options = {"num_steps": 40, "min_learning_rate": 1e-4, "batch_size": 40}
    finder = LearningRateFinder(X, Y, verbose=0, **options)
    model.fit(X, Y, verbose=0, callbacks=[finder])
    rate = float(model.optimizer.learning_rate)
    assert rate == pytest.approx(float(finder.result))


def test_a_build_takes_no_step() -> None:
    for name in MODELS:
        model = compiled(name)
        batches = Batches(model, X, Y, batch_size=8)
        with preserved(model, build=batches.build):
            assert int(model.optimizer.iterations) == 0
            batch_logs(model, batches.first())
            assert int(model.optimizer.iterations) == 1
        assert not model.optimizer.built


def test_a_model_that_cannot_be_built_on_the_data_stays_unbuilt() -> None:
    targets = np.eye(3, dtype="float32")[np.arange(40) % 3]
    losses = []
    for refused in (False, True):
        keras.utils.set_random_seed(1)
        layers = [keras.layers.Dense(5, "relu"), keras.layers.Dense(3, "softmax")]
        model = keras.Sequential(layers)
        model.compile("adam", loss="categorical_crossentropy", metrics=["accuracy"])
        if refused:
            with pytest.raises(ValueError, match="`y` must be one-hot"):
                find_learning_rate(model, X, np.arange(40) % 3, **OPTIONS)
        history = model.fit(X, targets, batch_size=8, epochs=2, verbose=0)
        losses.append(history.history["loss"])
    assert losses[0] == losses[1]
