"""`GradientMonitor` on models of every build."""

from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import layers

from keras_deeptools.callbacks import GradientMonitor, GradientProblemError

X = np.random.default_rng(0).normal(size=(16, 6)).astype("float32")
Y = X[:, :1]


def nested() -> keras.Model:
    inner = keras.Sequential([keras.Input((6,)), layers.Dense(6, name="same")])
    other = keras.Sequential([keras.Input((6,)), layers.Dense(6, name="same")])
    inputs = keras.Input((6,))
    return keras.Model(inputs, layers.Dense(1)(other(inner(inputs))))


def shared() -> keras.Model:
    inputs, layer = keras.Input((6,)), layers.Dense(6, name="shared")
    return keras.Model(inputs, layers.Dense(1)(layer(layer(inputs))))


def subclassed() -> keras.Model:
    class Net(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.out = layers.Dense(4), layers.Dense(1)

        def call(self, inputs: object) -> object:
            return self.out(self.hidden(inputs))

    model = Net()
    model(X)
    return model


def recurrent() -> keras.Model:
    steps = [layers.Reshape((3, 2)), layers.LSTM(4), layers.Dense(1)]
    return keras.Sequential([keras.Input((6,)), *steps])


NUM_VARIABLES = {nested: 6, shared: 4, subclassed: 4, recurrent: 5}


@pytest.mark.parametrize("make", NUM_VARIABLES, ids=lambda make: make.__name__)
def test_every_variable_of_the_model_has_a_finite_positive_norm(
    make: Callable[[], keras.Model],
) -> None:
    model = make()
    model.compile("adam", "mean_squared_error")
    monitor = GradientMonitor("norm")
    model.fit(X, Y, batch_size=8, callbacks=[monitor], verbose=0)
    assert monitor.history["norm"].shape == (2, NUM_VARIABLES[make])
    assert (monitor.history["norm"] > 0).all()


@pytest.mark.one_backend
def test_variables_of_one_name_are_told_apart() -> None:
    model = nested()
    model.compile("adam", "mean_squared_error")
    monitor = GradientMonitor("norm", group="layer")
    model.fit(X, Y, batch_size=8, callbacks=[monitor], verbose=0)
    assert len(monitor.variables) == len(set(monitor.variables)) == 3


def test_several_outputs_are_recorded_together() -> None:
    inputs = keras.Input((6,))
    trunk = layers.Dense(4, name="trunk")(inputs)
    outputs = {name: layers.Dense(1, name=name)(trunk) for name in "ab"}
    model = keras.Model(inputs, outputs)
    model.compile("adam", {"a": "mean_squared_error", "b": "mean_squared_error"})
    monitor = GradientMonitor()
    model.fit(X, {"a": Y, "b": Y}, batch_size=8, callbacks=[monitor], verbose=0)
    assert monitor.history["norm"].shape == (2, 6)


def test_gradients_of_rows_used_several_times_are_added_up() -> None:
    model = keras.Sequential(
        [
            keras.Input((3,), dtype="int32"),
            layers.Embedding(10, 2, embeddings_initializer="ones", name="words"),
            layers.Flatten(),
            layers.Dense(1, kernel_initializer="ones", use_bias=False),
        ]
    )
    model.compile(keras.optimizers.SGD(0.0), lambda y, p: keras.ops.mean(p))
    monitor = GradientMonitor(on_problem="ignore")
    words = np.array([[4, 4, 7], [4, 1, 1]])
    model.fit(words, np.zeros((2, 1)), batch_size=2, callbacks=[monitor], verbose=0)
    # Word 4 is used three times, 1 twice, 7 once; each use adds 1/2 to two columns.
    expected = np.repeat([1.5, 1.0, 0.5], 2)
    history = {name: table[0, 0] for name, table in monitor.history.items()}
    assert history["norm"] == pytest.approx(np.linalg.norm(expected))
    assert history["max_abs"] == pytest.approx(1.5)
    assert history["zero_fraction"] == pytest.approx(0.7)


@pytest.mark.filterwarnings("ignore:Gradients do not exist:UserWarning")
@pytest.mark.filterwarnings("ignore:.*does not have gradients:UserWarning")
def test_a_variable_without_gradient_is_no_problem_before_it_lasts() -> None:
    class Idle(layers.Layer):
        def build(self, shape: tuple) -> None:
            self.used = self.add_weight(shape=(6,), initializer="ones")
            self.idle = self.add_weight(shape=(6,), initializer="ones")

        def call(self, inputs: object) -> object:
            return inputs * self.used

    model = keras.Sequential([keras.Input((6,)), Idle(), layers.Dense(1)])
    model.compile("adam", "mean_squared_error")
    monitor = GradientMonitor()
    model.fit(X, Y, batch_size=8, callbacks=[monitor], epochs=15, verbose=0)
    idle = monitor.history["norm"][:, 1]
    assert (np.isnan(idle) | (idle == 0)).all()
    assert monitor.findings == []


@pytest.mark.one_backend
@pytest.mark.filterwarnings("ignore:.*any trainable weights:UserWarning")
def test_a_model_that_is_frozen_is_a_finding() -> None:
    model = nested()
    model.trainable = False
    model.compile("adam", "mean_squared_error")
    monitor = GradientMonitor(on_problem="ignore")
    model.fit(X, Y, batch_size=8, callbacks=[monitor], epochs=2, verbose=0)
    assert [finding.kind for finding in monitor.findings] == ["everything is frozen"]
    with pytest.raises(GradientProblemError, match="Set trainable = True"):
        model.fit(X, Y, callbacks=[GradientMonitor(on_problem="raise")], verbose=0)


@pytest.mark.one_backend
def test_a_negative_learning_rate_is_a_finding() -> None:
    model = recurrent()
    model.compile(keras.optimizers.SGD(-1e-3), "mean_squared_error")
    monitor = GradientMonitor(on_problem="ignore")
    model.fit(X, Y, batch_size=8, callbacks=[monitor], epochs=2, verbose=0)
    [finding] = monitor.findings
    assert finding.kind == "learning rate not positive"
    assert finding.evidence["learning_rate"] == pytest.approx(-1e-3)
