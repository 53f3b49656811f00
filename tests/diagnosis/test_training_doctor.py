"""`TrainingDoctor` names causes while a model trains, and does what it is told to."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from keras_deeptools.diagnosis import (
    ActivationMonitor,
    TrainingDoctor,
    TrainingProblemError,
    TrainingWarning,
)

RNG = np.random.default_rng(0)
CENTERS = 2 * RNG.normal(size=(3, 8))
LABELS = RNG.integers(0, 3, 640)
X = (CENTERS[LABELS] + RNG.normal(size=(640, 8))).astype("float32")
SPARSE = "sparse_categorical_crossentropy"


def network(optimizer: Any = None, **settings: Any) -> keras.Model:
    keras.utils.set_random_seed(1)
    settings = {"activation": "relu", **settings}
    hidden = [layers.Dense(16, **settings) for _ in range(3)]
    stack = [keras.Input((8,)), *hidden, layers.Dense(3, "softmax")]
    model = keras.Sequential(stack)
    model.compile(optimizer or keras.optimizers.Adam(0.01), SPARSE)
    return model


def findings_of(
    model: keras.Model, x: Any = X, y: Any = LABELS, **options: Any
) -> list:
    doctor = TrainingDoctor(on_problem="ignore")
    options = {"epochs": 3, "verbose": 0, **options}
    model.fit(x, y, callbacks=[doctor], **options)
    return doctor.findings


FAULTS = {
    "symmetric units": lambda: (network(kernel_initializer="zeros"), X),
    "unscaled inputs": lambda: (network(keras.optimizers.SGD(0.1)), 300 * X),
    "softmax between layers": lambda: (
        network(keras.optimizers.SGD(0.01), activation="softmax"),
        X,
    ),
    "learning rate not positive": lambda: (network(keras.optimizers.SGD(-0.1)), X),
    "learning rate too low": lambda: (network(keras.optimizers.Adam(1e-7)), X),
    "learning rate too high": lambda: (network(keras.optimizers.Adam(10.0)), X),
    "clipping stops learning": lambda: (
        network(keras.optimizers.SGD(0.1, clipnorm=1e-6)),
        X,
    ),
    "non-finite inputs": lambda: (network(), np.where(X > 4, np.nan, X)),
}


@pytest.mark.alternates("kind")
@pytest.mark.parametrize("kind", FAULTS)
def test_the_first_finding_names_the_cause(kind: str) -> None:
    assert findings_of(*FAULTS[kind]())[0].kind == kind


def test_a_healthy_training_has_no_problem() -> None:
    found = findings_of(network(), epochs=6)
    assert [each.kind for each in found if each.severity == "problem"] == []


def test_overfitting_is_named() -> None:
    noise = RNG.permutation(LABELS)
    found = findings_of(
        network(keras.optimizers.Adam(0.03)),
        X[:64],
        noise[:64],
        epochs=30,
        validation_data=(X[64:], noise[64:]),
    )
    assert "overfitting" in [each.kind for each in found]


def test_samples_whose_labels_look_wrong_are_listed() -> None:
    labels = LABELS.copy()
    labels[6] = (labels[6] + 1) % 3
    found = findings_of(network(), y=labels, epochs=6)
    [odd] = [each for each in found if each.kind == "labels that look wrong"]
    assert odd.samples == (6,)


def test_it_warns() -> None:
    with pytest.warns(TrainingWarning, match="TrainingDoctor: symmetric units"):
        network(kernel_initializer="zeros").fit(
            X, LABELS, epochs=3, callbacks=[TrainingDoctor()], verbose=0
        )


def test_it_stops() -> None:
    with pytest.warns(TrainingWarning):
        history = network(keras.optimizers.SGD(-0.1)).fit(
            X, LABELS, epochs=9, callbacks=[TrainingDoctor("stop")], verbose=0
        )
    assert len(history.epoch) < 9


def test_it_raises() -> None:
    with pytest.raises(TrainingProblemError, match="learning rate not positive"):
        network(keras.optimizers.SGD(-0.1)).fit(
            X, LABELS, epochs=9, callbacks=[TrainingDoctor("raise")], verbose=0
        )


def test_it_repairs_a_copy() -> None:
    doctor = TrainingDoctor("repair")
    with pytest.warns(TrainingWarning):
        network(kernel_initializer="zeros").fit(
            X, LABELS, epochs=9, callbacks=[doctor], verbose=0
        )
    assert doctor.repaired is not None and doctor.repaired.score_after > 0.9


def test_training_is_what_it_is_without_it() -> None:
    def losses(*callbacks: keras.callbacks.Callback) -> list[float]:
        model = network()
        options = {"epochs": 3, "verbose": 0, "callbacks": list(callbacks)}
        return model.fit(X, LABELS, **options).history["loss"]

    np.testing.assert_allclose(losses(TrainingDoctor()), losses(), rtol=1e-5)


def test_unbuilt_models_and_generators_are_taken() -> None:
    model = keras.Sequential([layers.Dense(8, "relu"), layers.Dense(3, "softmax")])
    model.compile(keras.optimizers.Adam(0.01), SPARSE)

    def generate() -> Any:
        while True:
            rows = RNG.integers(0, 640, 32)
            yield X[rows], LABELS[rows]

    doctor = TrainingDoctor("ignore")
    options = {"steps_per_epoch": 20, "epochs": 3, "shuffle": False, "verbose": 0}
    model.fit(generate(), callbacks=[doctor], **options)
    assert [each for each in doctor.findings if each.severity == "problem"] == []


def test_activations_of_dead_units_are_told() -> None:
    monitor = ActivationMonitor()
    model = network(bias_initializer=keras.initializers.Constant(-50.0))
    model.fit(X, LABELS, callbacks=[monitor], verbose=0)
    assert monitor.findings[0].kind == "dead units"


def test_activations_are_measured_before_and_after_each_epoch() -> None:
    monitor = ActivationMonitor()
    network().fit(X, LABELS, epochs=3, callbacks=[monitor], verbose=0)
    assert (monitor.epochs, monitor.history["std"].shape) == ([0, 1, 2, 3], (4, 4))


def test_the_table_has_a_line_for_each_layer() -> None:
    monitor = ActivationMonitor()
    network().fit(X, LABELS, callbacks=[monitor], verbose=0)
    assert len(monitor.table().splitlines()) == 5
