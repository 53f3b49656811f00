"""`repair` changes a copy, and keeps what helps on samples that were held out."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from keras_deeptools.diagnosis import Finding, Repair, repair
from keras_deeptools.diagnosis._repair.copies_in_training import Trainer
from keras_deeptools.schedules import FlatCosine

RNG = np.random.default_rng(0)
CENTERS = 2 * RNG.normal(size=(3, 8))
LABELS = RNG.integers(0, 3, 600)
X = (CENTERS[LABELS] + RNG.normal(size=(600, 8))).astype("float32")
SPARSE = "sparse_categorical_crossentropy"
COSINE = keras.optimizers.schedules.CosineDecay


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
    "a schedule that begins with 1e-7": lambda: (
        network(keras.optimizers.Adam(COSINE(1e-7, 300))),
        X,
    ),
    "a schedule of negative learning rates": lambda: (
        network(keras.optimizers.Adam(COSINE(-0.01, 300))),
        X,
    ),
}


SETTINGS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "weight decay too strong": (
        {"optimizer": keras.optimizers.AdamW(0.01, weight_decay=10.0)},
        {},
        "+ optimizer: weight_decay=0.004",
    ),
    "learning rate decays too soon": (
        {
            "optimizer": keras.optimizers.SGD(
                keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.1)
            )
        },
        {},
        "+ optimizer: learning_rate=ExponentialDecay(initial_learning_rate=0.1, "
        "decay_steps=10, decay_rate=0.1)",
    ),
    "clipping stops learning": (
        {"optimizer": keras.optimizers.SGD(0.1, clipnorm=1e-6)},
        {},
        "+ optimizer: global_clipnorm=1",
    ),
    "regularization outweighs the loss": (
        {"kernel_regularizer": keras.regularizers.L2(1.0)},
        {"ratio": 100.0},
        "+ dense: kernel_regularizer=L2(l2=0.0001)",
    ),
    "vanishing gradient": (
        {"activation": "sigmoid"},
        {},
        "+ dense: activation='relu'",
    ),
    "learning rate too high": (
        {"optimizer": keras.optimizers.SGD(FlatCosine(50.0, 100))},
        {},
        "+ optimizer: learning_rate=Scaled(schedule=FlatCosine(max_learning_rate=50, "
        "total_steps=100, flat_fraction=0.75, min_learning_rate=0), factor=0.0002)",
    ),
    "everything is frozen": ({}, {}, "+ trainable=True for all"),
    "BatchNormalization with tiny batches": ({}, {}, "+ fit: batch_size=32"),
    "outliers in the targets": ({}, {}, "+ compile: loss='huber'"),
    "divergence": ({}, {}, "+ optimizer: learning_rate=0.001"),
}


@pytest.mark.one_backend
@pytest.mark.parametrize("kind", SETTINGS)
def test_a_remedy_says_what_it_changes(kind: str) -> None:
    settings, evidence, line = SETTINGS[kind]
    keras.backend.clear_session()
    cause = Finding(kind, "", "It is seen.", evidence=evidence)
    result = repair(network(**settings), X[:64], LABELS[:64], [cause], budget=10)
    assert line in result.steps[0].differences


class Batches(keras.utils.PyDataset):
    def __len__(self) -> int:
        return 8

    def __getitem__(self, at: int) -> Any:
        rows = slice(32 * at, 32 * at + 32)
        return X[rows], LABELS[rows]


@pytest.mark.one_backend
@pytest.mark.parametrize("kind", ["PyDataset", "generator"])
def test_datasets_are_read_into_arrays(kind: str) -> None:
    batches = Batches()
    x = batches if kind == "PyDataset" else (batches[at] for at in range(8))
    cause = Finding("symmetric units", "dense", "They start equal.")
    model = network(kernel_initializer="zeros")
    assert repair(model, x, findings=[cause], budget=60).helped


class Subclassed(keras.Model):
    """Whose layers are another model's, so that its class makes no copy."""

    parts = (
        layers.Dense(16, "relu", kernel_initializer="zeros"),
        layers.Dense(3, "softmax"),
    )

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.end = self.parts

    def call(self, x: Any) -> Any:
        return self.end(self.hidden(x))


class Stepping(keras.Model):
    """With a train step of its own."""

    def train_step(self, *arguments: Any) -> Any:
        return super().train_step(*arguments)


def functional(kind: type[keras.Model]) -> keras.Model:
    inputs = keras.Input((8,))
    x = layers.Dense(16, "relu", kernel_initializer="zeros", name="hidden")(inputs)
    return kind(inputs, layers.Dense(3, "softmax")(x))


def nested() -> keras.Model:
    inputs = keras.Input((8,))
    hidden = layers.Dense(16, "relu", kernel_initializer="zeros")
    body = keras.Model(inputs, hidden(inputs))
    outer = keras.Input((8,))
    return keras.Model(outer, layers.Dense(3, "softmax")(body(outer)))


MODELS: dict[str, Any] = {
    "subclassed": Subclassed,
    "with a train step": lambda: functional(Stepping),
    "nested": nested,
}


@pytest.mark.alternates("name")
@pytest.mark.parametrize("name", MODELS)
def test_layers_of_any_model_are_changed_in_the_copy_alone(name: str) -> None:
    keras.utils.set_random_seed(1)
    model = MODELS[name]()
    model.compile(keras.optimizers.Adam(0.01), SPARSE)
    cause = Finding("symmetric units", "hidden", "They start equal.")
    result = repair(model, X, LABELS, [cause], budget=100)
    assert result.helped
    assert type(result.model) is type(model)
    assert not np.any(model.trainable_variables[0])


@pytest.mark.one_backend
def test_data_are_scaled_before_a_model_with_a_train_step() -> None:
    keras.utils.set_random_seed(1)
    model = functional(Stepping)
    model.compile(keras.optimizers.Adam(0.01), SPARSE)
    cause = Finding("unscaled inputs", "hidden", "They are large.")
    result = repair(model, 300 * X, LABELS, [cause], budget=20)
    assert not result.steps[0].failure


@pytest.mark.one_backend
def test_the_ends_of_several_outputs_are_repaired() -> None:
    keras.utils.set_random_seed(1)
    first, second = keras.Input((8,), name="a"), keras.Input((8,), name="b")
    x = layers.Dense(16, "relu")(layers.Concatenate()([first, second]))
    outputs = {
        "kind": layers.Dense(3, "tanh", name="kind")(x),
        "size": layers.Dense(1, name="size")(x),
    }
    model = keras.Model({"a": first, "b": second}, outputs)
    model.compile(keras.optimizers.Adam(0.01), {"kind": SPARSE, "size": "mse"})
    y = {"kind": LABELS, "size": X[:, :1]}
    cause = Finding("logits with from_logits=False", "kind", "It ends with tanh.")
    [step] = repair(model, {"a": X, "b": X}, y, [cause], budget=60).steps
    assert not step.failure
    assert step.differences[1] == "+ kind: activation='softmax'"


FOUND_IN_STRUCTURE = (
    "softmax in hidden layers",
    "tanh on the output",
    "a schedule that begins with 1e-7",
    "a schedule of negative learning rates",
)
"""Faults whose repair changes what was read, and measures as those of the others do."""


@pytest.mark.alternates("name")
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.one_backend)
        if name in FOUND_IN_STRUCTURE
        else name
        for name in FAULTS
    ],
)
def test_a_faulty_model_becomes_as_good_as_a_healthy_one(name: str) -> None:
    model, x = FAULTS[name]()
    assert repair(model, x, LABELS).score_after > 0.9


@pytest.mark.one_backend
def test_the_weights_of_the_best_score_are_kept_and_the_learning_rate_falls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = {}
    # Short trainings of three models, half a training of one, and four looks.
    scores = iter([0.1, 0.15, 0.3, 0.5, 0.9, 0.5, 0.6, 0.4])

    def score(trainer: Trainer, candidate: Any) -> float:
        found = next(scores)
        seen[found] = candidate.model.get_weights()
        return found

    monkeypatch.setattr(Trainer, "_score", score)
    cause = Finding("symmetric units", "dense", "They start equal.")
    model = network(kernel_initializer="zeros")
    result = repair(model, X, LABELS, [cause], budget=120)
    assert result.score_after == 0.9
    for kept, best in zip(result.model.get_weights(), seen[0.9], strict=True):
        np.testing.assert_array_equal(kept, best)
    assert result.differences[-3:] == (
        "+ training: learning rate times 0.3 after 90 updates",
        "+ training: learning rate times 0.09 after 105 updates",
        "+ training: weights as after 75 updates, which scored best",
    )


@pytest.mark.one_backend
def test_the_differences_can_be_read() -> None:
    result = repair(network(keras.optimizers.Adam(10.0)), X, LABELS)
    assert result.differences[0] == "- optimizer: learning_rate=10"


def test_the_model_trains_afterwards_as_if_nothing_had_been_tried() -> None:
    weights = []
    for tries in (False, True):
        model = network(kernel_initializer="zeros")
        # The first `fit` on JAX draws a batch to build the model.
        model.fit(X, LABELS, verbose=0)
        keras.utils.set_random_seed(3)
        if tries:
            repair(model, X, LABELS, budget=20)
        model.fit(X, LABELS, verbose=0)
        weights.append(model.get_weights())
    same = zip(*weights, strict=True)
    assert all((plain == tried).all() for plain, tried in same)


@pytest.mark.one_backend
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


@pytest.mark.one_backend
def test_a_second_cause_is_repaired_on_top_of_the_first() -> None:
    model = network(keras.optimizers.Adam(10.0), kernel_initializer="zeros")
    result = repair(model, X, LABELS)
    kept = {step.finding.kind for step in result.steps if step.kept}
    assert kept == {"symmetric units", "learning rate too high"}


@pytest.mark.one_backend
def test_that_the_data_are_at_fault_is_an_answer() -> None:
    result = repair(network(), X, RNG.permutation(LABELS), budget=40)
    assert not result.helped
    assert "No change of the model can fix it." in result.advice[0]


@pytest.mark.one_backend
def test_findings_of_the_users_choice_are_tried() -> None:
    cause = Finding("symmetric units", "dense", "They start equal.")
    result = repair(network(kernel_initializer="zeros"), X, LABELS, [cause])
    assert {step.finding.kind for step in result.steps} == {"symmetric units"}


@pytest.mark.one_backend
def test_random_states_stay_as_they_are() -> None:
    model = network()
    # The first `fit` on JAX draws a batch to build the model, and so does a diagnosis.
    model.fit(X, LABELS, verbose=0)
    np.random.seed(5)
    wanted = np.random.rand(3)
    np.random.seed(5)
    repair(model, X, LABELS, budget=10)
    np.testing.assert_array_equal(np.random.rand(3), wanted)


@pytest.mark.one_backend
def test_a_model_that_is_not_compiled_is_refused() -> None:
    with pytest.raises(ValueError, match="repair: `model` must be compiled"):
        repair(keras.Sequential([keras.Input((8,)), layers.Dense(3)]), X, LABELS)


@pytest.mark.one_backend
def test_data_that_are_no_arrays_are_refused() -> None:
    with pytest.raises((TypeError, ValueError), match="repair: `x` and `y` must"):
        repair(network(), X, LABELS[:5])


@pytest.mark.one_backend
def test_a_repair_is_read_and_drawn():
    lines = [f"+ dense_{i}: activation='relu'" for i in range(4)]
    found = Repair(None, tuple(lines), (), 0.5, 0.9, [0.7, 0.6], [0.7, 0.1])
    assert "+ dense_0 to dense_3 (4 layers): activation='relu'" in str(found)
    curves = found.plot().axes[0].lines
    assert [curve.get_ydata().tolist() for curve in curves] == [[0.7, 0.6], [0.7, 0.1]]
