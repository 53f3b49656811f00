"""Each rule of `diagnose` names its fault, and leaves the sound twin alone."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_deeptools.diagnosis import diagnose

pytestmark = pytest.mark.one_backend

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 8)).astype("float32")
LABELS = X[:, :5].argmax(axis=1)
AMOUNT = X[:, 0] + 0.1 * RNG.normal(size=400)
SPARSE = "sparse_categorical_crossentropy"
ONE_HOT = "categorical_crossentropy"


def network(
    *hidden: Any,
    units: int = 5,
    end: str | None = "softmax",
    loss: Any = SPARSE,
    optimizer: Any = "adam",
) -> keras.Model:
    keras.utils.set_random_seed(1)
    hidden = hidden or (layers.Dense(16, "relu"),)
    model = keras.Sequential([*hidden, layers.Dense(units, end)])
    model.compile(optimizer, loss)
    return model


def kinds(model: keras.Model, x: Any = X, y: Any = LABELS, **options: Any) -> list[str]:
    options = {"trial_steps": 0, **options}
    return [each.kind for each in diagnose(model, x, y, **options).findings]


def squares(y: Any, predicted: Any) -> Any:
    return ops.mean(ops.square(y - predicted))


def amounts(loss: Any) -> keras.Model:
    return network(units=1, end=None, loss=loss)


def deep(initializer: Callable[[], Any]) -> list[Any]:
    return [
        layers.Dense(16, "relu", kernel_initializer=initializer()) for _ in range(24)
    ]


def scaled(factor: float) -> Callable[[], Any]:
    return lambda: keras.initializers.VarianceScaling(factor, seed=None)


TIGHT, LOOSE = keras.constraints.MaxNorm(0.01), keras.constraints.MaxNorm(3.0)
NAMED = np.array([f"class {label}" for label in LABELS])
BARE = layers.Dense
PAIRS: dict[str, tuple[Callable[[], list[str]], Callable[[], list[str]]]] = {
    "class numbers for a one-hot loss": (
        lambda: kinds(network(loss=ONE_HOT)),
        lambda: kinds(network(loss=ONE_HOT), y=np.eye(5)[LABELS]),
    ),
    "one-hot labels for a sparse loss": (
        lambda: kinds(network(), y=np.eye(5)[LABELS]),
        lambda: kinds(network()),
    ),
    "text as targets": (
        lambda: kinds(network(), y=NAMED),
        lambda: kinds(network()),
    ),
    "outputs of another shape than the targets": (
        lambda: kinds(network(), X.reshape(-1, 4, 2)),
        lambda: kinds(
            network(layers.Flatten(), layers.Dense(16, "relu")), X.reshape(-1, 4, 2)
        ),
    ),
    "weights that leave samples out": (
        lambda: kinds(network(), class_weight={0: 1.0, 1: 0.0, 2: 1.0, 3: 1.0, 4: 1.0}),
        lambda: kinds(network(), class_weight=dict.fromkeys(range(5), 2.0)),
    ),
    "loss of the wrong sign": (
        lambda: kinds(amounts(lambda y, p: -squares(y, p)), y=AMOUNT),
        lambda: kinds(amounts(squares), y=AMOUNT),
    ),
    "loss that ignores the predictions": (
        lambda: kinds(amounts(lambda y, p: squares(y, 0 * p)), y=AMOUNT),
        lambda: kinds(amounts(squares), y=AMOUNT),
    ),
    "unscaled targets": (
        lambda: kinds(amounts("mse"), y=1e-7 * AMOUNT),
        lambda: kinds(amounts("mse"), y=AMOUNT),
    ),
    "narrow layer": (
        lambda: kinds(network(BARE(16, "relu"), BARE(1, "relu"), BARE(16, "relu"))),
        lambda: kinds(network(BARE(16, "relu"), BARE(8, "relu"), BARE(16, "relu"))),
    ),
    "weight constraint too tight": (
        lambda: kinds(network(BARE(16, "relu", kernel_constraint=TIGHT))),
        lambda: kinds(network(BARE(16, "relu", kernel_constraint=LOOSE))),
    ),
    "output units without a class": (
        lambda: kinds(network(units=40)),
        lambda: kinds(network(units=6)),
    ),
    "epsilon too large": (
        lambda: kinds(network(optimizer=keras.optimizers.Adam(epsilon=10.0))),
        lambda: kinds(network(optimizer=keras.optimizers.Adam(epsilon=1e-3))),
    ),
    "vanishing signal": (
        lambda: kinds(network(*deep(scaled(0.5)))),
        lambda: kinds(network(*deep(scaled(2.0)))),
    ),
    "exploding signal": (
        lambda: kinds(network(*deep(scaled(8.0)))),
        lambda: kinds(network(*deep(scaled(2.0)))),
    ),
}


@pytest.mark.parametrize("kind", PAIRS)
def test_a_fault_is_named(kind: str) -> None:
    assert kind in PAIRS[kind][0]()


@pytest.mark.parametrize("kind", PAIRS)
def test_the_sound_twin_is_not_accused(kind: str) -> None:
    assert kind not in PAIRS[kind][1]()


def test_relu_before_the_softmax_of_the_output_is_named() -> None:
    model = keras.Sequential(
        [layers.Dense(16, "relu"), layers.Dense(5, "relu"), layers.Softmax()]
    )
    model.compile("adam", SPARSE)
    assert "ReLU on the logits" in kinds(model)


def test_a_softmax_of_its_own_on_linear_outputs_is_sound() -> None:
    model = keras.Sequential(
        [layers.Dense(16, "relu"), layers.Dense(5), layers.Softmax()]
    )
    model.compile("adam", SPARSE)
    assert "ReLU on the logits" not in kinds(model)


def test_gradients_accumulated_until_after_the_end_are_named() -> None:
    optimizer = keras.optimizers.Adam(gradient_accumulation_steps=1000)
    found = kinds(network(optimizer=optimizer), epochs=2, trial_steps=8)
    assert found[0] == "too few updates"


def test_an_unstable_regression_is_told_by_its_learning_rate() -> None:
    model = amounts("mse")
    model.compile(keras.optimizers.SGD(3.0), "mse")
    assert kinds(model, y=AMOUNT, trial_steps=20)[0] == "learning rate too high"


def test_random_labels_that_are_memorized_are_without_information() -> None:
    x = RNG.normal(size=(400, 8)).astype("float32")
    found = kinds(
        network(BARE(128, "relu")), x, RNG.permutation(LABELS), trial_steps=40
    )
    assert "labels without information" in found


def test_counts_are_quantities_for_a_poisson_loss() -> None:
    counts = RNG.poisson(np.exp(X[:, 0]))
    model = network(units=1, end="exponential", loss="poisson")
    assert "labels without information" not in kinds(model, y=counts, trial_steps=20)


class Ending(keras.Model):
    """A subclassed model with dropout before or behind its last layer."""

    def __init__(self, behind: bool) -> None:
        super().__init__()
        self.hidden = layers.Dense(16, "relu")
        self.last = layers.Dense(5, "softmax")
        self.drop = layers.Dropout(0.5)
        self.behind = behind

    def call(self, x: Any, training: bool = False) -> Any:
        x = self.hidden(x)
        if self.behind:
            return self.drop(self.last(x), training=training)
        return self.last(self.drop(x, training=training))


@pytest.mark.parametrize("behind", [True, False])
def test_dropout_on_the_output_of_a_subclassed_model_is_named(behind: bool) -> None:
    model = Ending(behind)
    model.compile("adam", SPARSE)
    assert ("dropout on the output" in kinds(model)) == behind


def test_frequencies_are_no_ids_of_an_embedding() -> None:
    table = [layers.Embedding(50, 4), layers.GlobalAveragePooling1D()]
    assert "ids outside the embedding" in kinds(network(*table), np.abs(X))


@pytest.mark.parametrize("scale", [255, 1])
def test_pixels_that_are_scaled_twice_are_named(scale: int) -> None:
    pixels = RNG.uniform(0, scale, (400, 4, 4, 1)).astype("float32")
    model = network(layers.Rescaling(1 / 255), layers.Conv2D(4, 3), layers.Flatten())
    assert ("unscaled inputs" in kinds(model, pixels)) == (scale == 1)


@pytest.mark.parametrize("factor", [10.0, 1e-6])
def test_a_penalty_on_activations_counts_with_the_others(factor: float) -> None:
    hidden = BARE(16, "relu", activity_regularizer=keras.regularizers.L2(factor))
    found = kinds(network(hidden))
    assert ("regularization outweighs the loss" in found) == (factor > 1)
