"""`diagnose` names the cause, leaves healthy models alone and changes nothing."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from keras_deeptools.diagnosis import Diagnosis, diagnose

RNG = np.random.default_rng(0)
CENTERS = 2 * RNG.normal(size=(3, 8))
LABELS = RNG.integers(0, 3, 600)
X = (CENTERS[LABELS] + RNG.normal(size=(600, 8))).astype("float32")
YES = (X[:, 0] > 0).astype("int32")
AMOUNT = (X[:, 0] * X[:, 1] / 4).astype("float32")
ORDER = np.argsort(LABELS, kind="stable")

SPARSE = "sparse_categorical_crossentropy"


def network(
    units: int = 3,
    end: str | None = "softmax",
    loss: Any = SPARSE,
    optimizer: Any = None,
    depth: int = 2,
    after: Callable[[], list] = list,
    last: Callable[[], list] = list,
    **settings: Any,
) -> keras.Model:
    keras.utils.set_random_seed(1)
    settings = {"activation": "relu", **settings}
    hidden = []
    for _ in range(depth):
        hidden += [layers.Dense(16, **settings), *after()]
    stack = [keras.Input((8,)), *hidden, layers.Dense(units, end), *last()]
    model = keras.Sequential(stack)
    model.compile(optimizer or keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    return model


def first(model: keras.Model, x: Any, y: Any = None, **options: Any) -> str:
    found = diagnose(model, x, y, **options)
    return found.findings[0].kind if found.findings else ""


def sgd(rate: float, **options: Any) -> keras.optimizers.Optimizer:
    return keras.optimizers.SGD(rate, **options)


NORMAL = keras.initializers.RandomNormal
FADING = keras.optimizers.schedules.ExponentialDecay(0.01, 1, 0.5)
COSINE = keras.optimizers.schedules.CosineDecay
FAULTS: dict[str, tuple[Callable[[], tuple], set[str]]] = {
    "inputs a hundred times too large": (
        lambda: (network(), 100 * X, LABELS),
        {"unscaled inputs"},
    ),
    "NaN": (
        lambda: (network(), np.where(X > 3, np.nan, X), LABELS),
        {"non-finite inputs"},
    ),
    "labels in another order": (
        lambda: (network(), X, RNG.permutation(LABELS)),
        {"labels without information"},
    ),
    "softmax on one unit": (
        lambda: (network(1, "softmax", "binary_crossentropy"), X, YES),
        {"softmax over one unit"},
    ),
    "logits taken for probabilities": (
        lambda: (network(3, None), X, LABELS),
        {"logits with from_logits=False"},
    ),
    "quantities out of reach": (
        lambda: (network(1, "sigmoid", "mse"), X, AMOUNT),
        {"targets out of reach"},
    ),
    "classes as quantities": (
        lambda: (network(1, None, "mse"), X, LABELS),
        {"regression loss for classes"},
    ),
    "targets of thousands": (
        lambda: (network(1, None, "mse"), X, 1000 * AMOUNT + 5000),
        {"unscaled targets"},
    ),
    "no activation": (
        lambda: (network(activation=None), X, LABELS),
        {"no non-linearity"},
    ),
    "softmax in hidden layers": (
        lambda: (network(activation="softmax"), X, LABELS),
        {"softmax between layers"},
    ),
    "eight layers of sigmoid": (
        lambda: (network(activation="sigmoid", depth=8), X, LABELS),
        {"sigmoid in hidden layers"},
    ),
    "dropout of 0.95": (
        lambda: (network(after=lambda: [layers.Dropout(0.95)]), X, LABELS),
        {"dropout rate too high"},
    ),
    "dropout on the output": (
        lambda: (network(last=lambda: [layers.Dropout(0.5)]), X, LABELS),
        {"dropout on the output"},
    ),
    "a penalty of 1": (
        lambda: (network(kernel_regularizer=keras.regularizers.L2(1.0)), X, LABELS),
        {"regularization outweighs the loss"},
    ),
    "zeros": (
        lambda: (network(kernel_initializer="zeros"), X, LABELS),
        {"symmetric units"},
    ),
    "weights of 5": (
        lambda: (network(kernel_initializer=NORMAL(stddev=5.0, seed=1)), X, LABELS),
        {"initial weights too large"},
    ),
    "biases of -10": (
        lambda: (
            network(bias_initializer=keras.initializers.Constant(-20.0)),
            X,
            LABELS,
        ),
        {"initial biases far from zero"},
    ),
    "a learning rate of 10": (
        lambda: (network(optimizer=keras.optimizers.Adam(10.0)), X, LABELS),
        {"learning rate too high"},
    ),
    "a learning rate of 1e-7": (
        lambda: (network(optimizer=keras.optimizers.Adam(1e-7)), X, LABELS),
        {"learning rate too low"},
    ),
    "a negative learning rate": (
        lambda: (network(optimizer=sgd(-0.1)), X, LABELS),
        {"learning rate not positive"},
    ),
    "a gradient that is stopped": (
        lambda: (
            network(
                after=lambda: [
                    layers.Lambda(keras.ops.stop_gradient, output_shape=(16,))
                ]
            ),
            X,
            LABELS,
        ),
        {"no gradient reaches"},
    ),
    "a learning rate that is gone after ten updates": (
        lambda: (network(optimizer=keras.optimizers.Adam(FADING)), X, LABELS),
        {"learning rate decays too soon"},
    ),
    "a weight decay of 50": (
        lambda: (
            network(optimizer=keras.optimizers.AdamW(0.01, weight_decay=50.0)),
            X,
            LABELS,
        ),
        {"weight decay too strong"},
    ),
    "a clipnorm of 1e-6": (
        lambda: (network(optimizer=sgd(0.1, clipnorm=1e-6)), X, LABELS),
        {"clipping stops learning"},
    ),
    "a schedule that begins with 1e-7": (
        lambda: (
            network(optimizer=keras.optimizers.Adam(COSINE(1e-7, 900))),
            X,
            LABELS,
        ),
        {"learning rate too low"},
    ),
    "a schedule of negative learning rates": (
        lambda: (network(optimizer=sgd(COSINE(-0.1, 900))), X, LABELS),
        {"learning rate not positive"},
    ),
}


READ_FROM_DATA_AND_STRUCTURE = (
    "inputs a hundred times too large",
    "NaN",
    "softmax on one unit",
    "logits taken for probabilities",
    "quantities out of reach",
    "classes as quantities",
    "targets of thousands",
    "no activation",
    "softmax in hidden layers",
    "dropout of 0.95",
    "dropout on the output",
    "a negative learning rate",
    "a schedule that begins with 1e-7",
    "a schedule of negative learning rates",
)
"""Faults for which no measurement of the backend counts."""


@pytest.mark.alternates("name")
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.one_backend)
        if name in READ_FROM_DATA_AND_STRUCTURE
        else name
        for name in FAULTS
    ],
)
def test_the_first_finding_names_the_fault(name: str) -> None:
    make, kinds = FAULTS[name]
    model, x, y = make()
    assert first(model, x, y) in kinds


HEALTHY: dict[str, Callable[[], tuple]] = {
    "adam": lambda: (network(), X, LABELS),
    "momentum": lambda: (network(optimizer=sgd(0.1, momentum=0.9)), X, LABELS),
    "tanh": lambda: (network(activation="tanh"), X, LABELS),
    "one unit": lambda: (network(1, "sigmoid", "binary_crossentropy"), X, YES),
    "quantities": lambda: (network(1, None, "mse"), X, AMOUNT),
    "batch normalization": lambda: (
        network(after=lambda: [layers.BatchNormalization()]),
        X,
        LABELS,
    ),
    "dropout of 0.5": lambda: (
        network(after=lambda: [layers.Dropout(0.5)]),
        X,
        LABELS,
    ),
}


@pytest.mark.alternates("name")
@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_model_has_no_problem(name: str) -> None:
    found = diagnose(*HEALTHY[name]())
    assert found.problems == ()


@pytest.mark.one_backend
def test_what_follows_from_a_cause_is_folded_under_it() -> None:
    found = diagnose(network(kernel_initializer="zeros"), X, LABELS)
    assert "does not learn" in found.findings[0].causes


def test_fit_goes_on_as_if_nothing_had_been_asked() -> None:
    def trained(diagnosed: bool) -> list[float]:
        model = network(
            after=lambda: [layers.Dropout(0.2), layers.BatchNormalization()]
        )
        if diagnosed:
            diagnose(model, X, LABELS)
        else:
            # The first thing that `diagnose` does too.
            model.optimizer.build(model.trainable_variables)
        return model.fit(X, LABELS, epochs=2, verbose=0).history["loss"]

    assert trained(True) == trained(False)


class Batches(keras.utils.PyDataset):
    def __init__(self, order: Any) -> None:
        super().__init__()
        self.order = order

    def __len__(self) -> int:
        return 18

    def __getitem__(self, index: int) -> tuple:
        rows = self.order[32 * index : 32 * index + 32]
        return X[rows], LABELS[rows]


@pytest.mark.one_backend
def test_a_dataset_that_comes_sorted_is_named() -> None:
    assert first(network(), Batches(ORDER)) == "sorted samples"


@pytest.mark.one_backend
def test_a_dataset_in_any_order_is_not() -> None:
    assert diagnose(network(), Batches(np.arange(600))).problems == ()


@pytest.mark.one_backend
def test_sorted_arrays_are_named_where_fit_will_not_shuffle() -> None:
    found = first(network(), X[ORDER], LABELS[ORDER], shuffle=False)
    assert found == "sorted samples"


def test_generators_are_taken() -> None:
    def generate() -> Iterator[tuple]:
        while True:
            rows = RNG.integers(0, 600, 32)
            yield X[rows], LABELS[rows]

    assert diagnose(network(), generate()).problems == ()


def test_unbuilt_models_are_taken() -> None:
    model = keras.Sequential([layers.Dense(16, "relu"), layers.Dense(3, "softmax")])
    model.compile(keras.optimizers.Adam(0.01), SPARSE)
    assert diagnose(model, X, LABELS).problems == ()


@pytest.mark.one_backend
def test_integer_images_are_a_finding() -> None:
    images = RNG.integers(0, 256, (128, 8, 8, 1)).astype("uint8")
    images[::2, :4] //= 2
    stack = [
        layers.Conv2D(8, 3, activation="relu"),
        layers.Flatten(),
        layers.Dense(2, "softmax"),
    ]
    model = keras.Sequential(stack)
    model.compile("adam", SPARSE)
    assert "unscaled inputs" in diagnose(model, images, np.arange(128) % 2).kinds


@pytest.mark.one_backend
def test_images_with_the_channels_in_front_are_named() -> None:
    images = RNG.normal(size=(64, 3, 12, 12)).astype("float32")
    stack = [layers.Conv2D(4, 2, activation="relu"), layers.Flatten(), layers.Dense(1)]
    model = keras.Sequential([keras.Input((3, 12, 12)), *stack])
    model.compile("adam", "mse")
    found = diagnose(model, images, images.mean(axis=(1, 2, 3)), trial_steps=0)
    assert "channels in front" in found.kinds


@pytest.mark.one_backend
def test_relu_in_a_recurrent_layer_is_named() -> None:
    stack = [layers.Reshape((4, 2)), layers.LSTM(8, "relu"), layers.Dense(3, "softmax")]
    model = keras.Sequential([keras.Input((8,)), *stack])
    model.compile("adam", SPARSE)
    assert "ReLU in recurrent layers" in diagnose(model, X, LABELS, trial_steps=0).kinds


@pytest.mark.one_backend
def test_validation_data_on_another_scale_are_named() -> None:
    found = first(network(), X, LABELS, validation_data=(255 * X[:99], LABELS[:99]))
    assert found == "validation data on another scale"


def test_data_that_fit_refuses_are_a_finding() -> None:
    names = np.array(["a", "b", "c"])[LABELS]
    found = diagnose(network(), X, names)
    assert found.kinds == ("text as targets", "fit fails")


@pytest.mark.one_backend
def test_no_trial_is_made_where_none_is_wanted() -> None:
    assert diagnose(network(), X, LABELS, trial_steps=0).learning == "unknown"


def test_a_model_that_is_not_compiled_is_looked_at_all_the_same() -> None:
    model = keras.Sequential([keras.Input((8,)), layers.Dense(3)])
    found = diagnose(model, 100 * X, LABELS)
    assert found.kinds == ("unscaled inputs",)


def test_several_inputs_and_outputs_are_taken() -> None:
    a, b = keras.Input((8,), name="a"), keras.Input((8,), name="b")
    hidden = layers.Dense(16, "relu")(layers.Concatenate()([a, b]))
    c = layers.Dense(3, "softmax", name="c")(hidden)
    d = layers.Dense(1, name="d")(hidden)
    model = keras.Model({"a": a, "b": b}, {"c": c, "d": d})
    model.compile(keras.optimizers.Adam(0.01), {"c": SPARSE, "d": "mse"})
    found = diagnose(model, {"a": X, "b": X}, {"c": LABELS, "d": AMOUNT[:, None]})
    assert found.problems == ()


@pytest.mark.one_backend
def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(TypeError, match="diagnose: `model` must be a keras.Model"):
        diagnose("model", X, LABELS)


@pytest.fixture(scope="module")
def diagnosis() -> Diagnosis:
    return diagnose(network(kernel_initializer="zeros"), X, LABELS, trial_steps=10)


@pytest.mark.one_backend
def test_the_report_is_json(diagnosis: Diagnosis) -> None:
    found = json.loads(diagnosis.to_json())["findings"]
    assert found[0]["kind"] == "symmetric units"


@pytest.mark.one_backend
def test_the_page_has_the_remedy(diagnosis: Diagnosis, tmp_path: Any) -> None:
    diagnosis.to_html(str(tmp_path / "page.html"))
    text = (tmp_path / "page.html").read_text("utf-8")
    assert "Initialize at random" in text and "<script" not in text


@pytest.mark.one_backend
def test_it_says_what_it_does(capsys: pytest.CaptureFixture) -> None:
    diagnose(network(), X, LABELS, trial_steps=10, verbose=1)
    assert "diagnose: short trainings" in capsys.readouterr().out
