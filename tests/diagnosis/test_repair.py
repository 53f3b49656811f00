"""`repair` changes a copy, and keeps what helps on samples that were held out."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from keras_deeptools.diagnosis import Finding, repair

RNG = np.random.default_rng(0)
CENTERS = 2 * RNG.normal(size=(3, 8))
LABELS = RNG.integers(0, 3, 600)
X = (CENTERS[LABELS] + RNG.normal(size=(600, 8))).astype("float32")
SPARSE = "sparse_categorical_crossentropy"


def network(
    optimizer: Any = None, end: str = "softmax", **settings: Any
) -> keras.Model:
    keras.utils.set_random_seed(1)
    settings = {"activation": "relu", **settings}
    hidden = [layers.Dense(16, **settings) for _ in range(2)]
    stack = [keras.Input((8,)), *hidden, layers.Dense(3, end)]
    model = keras.Sequential(stack)
    model.compile(optimizer or keras.optimizers.Adam(0.01), SPARSE)
    return model


FAULTS = {
    "zeros": lambda: (network(kernel_initializer="zeros"), X),
    "inputs too large": lambda: (network(keras.optimizers.SGD(0.1)), 300 * X),
    "a learning rate of 10": lambda: (network(keras.optimizers.Adam(10.0)), X),
    "a learning rate of 1e-7": lambda: (network(keras.optimizers.Adam(1e-7)), X),
    "softmax in hidden layers": lambda: (
        network(keras.optimizers.SGD(0.1), activation="softmax"),
        X,
    ),
    "tanh on the output": lambda: (network(end="tanh"), X),
}


@pytest.mark.alternates("name")
@pytest.mark.parametrize("name", FAULTS)
def test_a_faulty_model_becomes_as_good_as_a_healthy_one(name: str) -> None:
    model, x = FAULTS[name]()
    assert repair(model, x, LABELS).score_after > 0.9


def test_the_differences_can_be_read() -> None:
    result = repair(network(keras.optimizers.Adam(10.0)), X, LABELS)
    assert result.differences[0] == "- optimizer: learning_rate=10"


def test_the_model_itself_stays_as_it_is() -> None:
    model = network(kernel_initializer="zeros")
    before = model.get_weights()
    repair(model, X, LABELS, budget=20)
    same = zip(before, model.get_weights(), strict=True)
    assert all((old == new).all() for old, new in same)


def test_the_copy_can_be_saved_and_loaded(tmp_path: Any) -> None:
    result = repair(network(keras.optimizers.SGD(0.1)), 300 * X, LABELS)
    assert result.model is not None
    path = str(tmp_path / "repaired.keras")
    result.model.save(path)
    loaded = keras.saving.load_model(path)
    np.testing.assert_allclose(
        loaded.predict(300 * X, verbose=0),
        result.model.predict(300 * X, verbose=0),
        atol=1e-6,
    )


def test_that_nothing_helped_is_an_answer() -> None:
    result = repair(network(), X, RNG.permutation(LABELS), budget=40)
    assert not result.helped


def test_findings_of_the_users_choice_are_tried() -> None:
    cause = Finding("symmetric units", "dense", "They start equal.")
    result = repair(network(kernel_initializer="zeros"), X, LABELS, [cause])
    assert [step.finding.kind for step in result.steps] == ["symmetric units"]


def test_random_states_stay_as_they_are() -> None:
    model = network()
    # The first `fit` on JAX draws a batch to build the model, and so does a diagnosis.
    model.fit(X, LABELS, verbose=0)
    np.random.seed(5)
    wanted = np.random.rand(3)
    np.random.seed(5)
    repair(model, X, LABELS, budget=10)
    np.testing.assert_array_equal(np.random.rand(3), wanted)


def test_a_model_that_is_not_compiled_is_refused() -> None:
    with pytest.raises(ValueError, match="repair: `model` must be compiled"):
        repair(keras.Sequential([keras.Input((8,)), layers.Dense(3)]), X, LABELS)


def test_data_that_are_no_arrays_are_refused() -> None:
    with pytest.raises((TypeError, ValueError), match="repair: `x` and `y` must"):
        repair(network(), X, LABELS[:5])
