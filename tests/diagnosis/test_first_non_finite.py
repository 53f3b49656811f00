"""`TrainingDoctor` names the layer and the operation where NaN or infinity arises."""

import re
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_deeptools.diagnosis import Finding, TrainingDoctor

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 3, 96)
X = (RNG.uniform(0.1, 2.0, size=(96, 4)) + 0.1 * LABELS[:, None]).astype("float32")
SPARSE = "sparse_categorical_crossentropy"


@keras.saving.register_keras_serializable(package="tests")
class Normalized(layers.Layer):
    """Divides by a sum that may be zero."""

    def call(self, inputs: Any) -> Any:
        total = ops.sum(inputs, axis=-1, keepdims=True)
        inputs = inputs / total
        return inputs * 2


class Subclassed(keras.Model):
    """Takes a logarithm between its layers."""

    def __init__(self) -> None:
        super().__init__(name="subclassed")
        self.hidden = layers.Dense(4)
        self.end = layers.Dense(3, "softmax")

    def call(self, inputs: Any) -> Any:
        hidden = self.hidden(inputs)
        return self.end(hidden + ops.log(inputs))


def sequential(*stack: Any) -> keras.Model:
    return keras.Sequential([keras.Input((4,)), *stack, layers.Dense(3, "softmax")])


def functional() -> keras.Model:
    inputs = keras.Input((4,))
    hidden = layers.Dense(4)(inputs) + ops.log(inputs)
    return keras.Model(inputs, layers.Dense(3, "softmax")(hidden))


def unlogged_loss(y: Any, predicted: Any) -> Any:
    gone = predicted - ops.stop_gradient(predicted)
    return -ops.log(ops.sum(gone, axis=-1))


def with_zero(*samples: int) -> np.ndarray:
    x = X.copy()
    x[list(samples)] = 0
    return x


def first_of(
    model: keras.Model, x: np.ndarray, loss: Any = SPARSE, rate: float = 0.01
) -> Finding:
    model.compile(keras.optimizers.SGD(rate), loss)
    doctor = TrainingDoctor("ignore")
    model.fit(x, LABELS, epochs=1, callbacks=[doctor], verbose=0)
    kinds = ("non-finite operation", "non-finite loss", "non-finite inputs")
    return next(each for each in doctor.findings if each.kind in kinds)


FORWARD: dict[str, tuple[Callable[[], keras.Model], str, str]] = {
    "lambda": (
        lambda: sequential(layers.Lambda(lambda x: ops.log(x) + 1, name="logs")),
        "logs",
        "`ops.log(x)` (line",
    ),
    "custom layer": (
        lambda: sequential(Normalized(name="divides")),
        "divides",
        "`inputs / total` (line",
    ),
    "functional": (functional, "log", "in layer `log` (Log). It takes the logarithm"),
    "subclassed": (Subclassed, "subclassed", "`ops.log(inputs)` (line"),
}


@pytest.mark.alternates("kind")
@pytest.mark.parametrize("kind", FORWARD)
def test_the_operation_of_the_forward_pass_is_named_with_its_sample(kind: str) -> None:
    build, where, said = FORWARD[kind]
    found = first_of(build(), with_zero(41))
    # Keras numbers the operations of functional models.
    found_at, told = (
        re.sub(r"log_\d+", "log", t) for t in (found.where, found.message)
    )
    assert (found.kind, found_at) == ("non-finite operation", where)
    assert said in told and found.samples == (41,)


@pytest.mark.one_backend
def test_the_operation_of_a_loss_is_named() -> None:
    found = first_of(sequential(), X, unlogged_loss)
    assert found.where == "loss" and "line" in found.message
    assert "`ops.log(ops.sum(gone, axis=-1))`" in found.message


@pytest.mark.one_backend
def test_a_gradient_that_is_not_finite_is_told_by_the_layers_around() -> None:
    root = layers.Lambda(lambda x: ops.sqrt(x - x), name="root")
    found = first_of(sequential(layers.Dense(4, name="before"), root), X)
    assert found.where == "before" and "(through root)" in found.message


@pytest.mark.one_backend
def test_weights_that_explode_are_told_with_their_growth() -> None:
    stack = [keras.Input((4,)), layers.Dense(4), layers.Dense(1)]
    found = first_of(keras.Sequential(stack), 1e8 * X, "mse", 1e10)
    assert found.kind == "non-finite loss"
    assert "weights had grown" in found.message and "overflows" in found.message


@pytest.mark.one_backend
def test_float16_that_overflows_is_told() -> None:
    large = layers.Dense(4, dtype="mixed_float16", kernel_initializer="ones")
    found = first_of(sequential(large, layers.Activation("linear")), 4e4 * X)
    assert found.kind == "non-finite operation" and "65504" in found.message


@pytest.mark.one_backend
def test_data_that_are_not_finite_are_told_before_any_operation() -> None:
    x = X.copy()
    x[7, 1] = np.inf
    assert first_of(sequential(), x).kind == "non-finite inputs"


@pytest.mark.one_backend
def test_infinity_under_a_softmax_is_no_fault() -> None:
    def masked(inputs: Any) -> Any:
        scores = ops.where(ops.arange(4) < 3, inputs, float("-inf"))
        return ops.softmax(scores) + ops.log(inputs)

    found = first_of(sequential(layers.Lambda(masked)), with_zero(41))
    assert "`ops.log(inputs)`" in found.message


def test_the_step_is_told_also_where_gradients_are_not_recorded() -> None:
    x = np.concatenate([np.tile(X, (14, 1)), with_zero(7)])
    model = sequential(layers.Lambda(lambda x: ops.log(x), name="logs"))
    model.compile("sgd", SPARSE)
    doctor = TrainingDoctor("ignore")
    options = {"batch_size": 12, "shuffle": False, "verbose": 0}
    model.fit(x, np.tile(LABELS, 15), callbacks=[doctor], **options)
    [found] = [each for each in doctor.findings if each.kind == "non-finite operation"]
    assert (found.step, found.samples) == (112, (1351,))
