"""Each finding of `TrainingDoctor` in a training that shows it, and a healthy twin."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from keras_deeptools.diagnosis import Finding, TrainingDoctor

pytestmark = pytest.mark.one_backend

RNG = np.random.default_rng(0)
CENTERS = 2 * RNG.normal(size=(3, 8))
LABELS = RNG.integers(0, 3, 640)
X = (CENTERS[LABELS] + RNG.normal(size=(640, 8))).astype("float32")
LINE = X @ RNG.normal(size=8)
LINE = ((LINE - LINE.mean()) / LINE.std()).astype("float32")
NOISY = (LINE + 0.5 * RNG.normal(size=640)).astype("float32")
CORNERS = np.pad(RNG.uniform(-1, 1, (640, 2)), ((0, 0), (0, 6))).astype("float32")
CHECKERS = (CORNERS[:, 0] * CORNERS[:, 1] > 0).astype("int32")
SORTED = np.argsort(LABELS, kind="stable")
SPARSE = "sparse_categorical_crossentropy"
BINARY = "binary_crossentropy"
Adam, SGD = keras.optimizers.Adam, keras.optimizers.SGD


def model(
    optimizer: Any, loss: str = SPARSE, hidden: int = 2, **settings: Any
) -> keras.Model:
    keras.utils.set_random_seed(1)
    settings = {"activation": "relu", **settings}
    units, activation = {SPARSE: (3, "softmax"), BINARY: (1, "sigmoid")}.get(
        loss, (1, None)
    )
    stack = [layers.Dense(16, **settings) for _ in range(hidden)]
    end = layers.Dense(units, activation)
    built = keras.Sequential([keras.Input((8,)), *stack, end])
    built.compile(optimizer, loss)
    return built


def changed(labels: np.ndarray, place: int, label: Any) -> np.ndarray:
    other = labels.copy()
    other[place] = label
    return other


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        build: Makes the model.
        x: Inputs.
        y: Targets.
        epochs: Int.
        fit: Further arguments of `fit`.
    """

    build: Callable[[], keras.Model]
    x: Any = None
    y: Any = None
    epochs: int = 4
    fit: Any = None

    def findings(self) -> list[Finding]:
        doctor = TrainingDoctor("ignore")
        x, y = (X, LABELS) if self.x is None else (self.x, self.y)
        options = {"epochs": self.epochs, "verbose": 0, **(self.fit or {})}
        self.build().fit(x, y, callbacks=[doctor], **options)
        return doctor.findings


def held_out(x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    return {"validation_data": (x[500:], y[500:])}


TANH = {"activation": "tanh"}
WIDE = keras.initializers.RandomNormal(stddev=5.0)
LOW = keras.initializers.Constant(-50.0)
RUNS: dict[str, tuple[Run, Run]] = {
    "slow convergence": (
        Run(lambda: model(SGD(3e-4)), epochs=8),
        Run(lambda: model(SGD(0.03)), epochs=8),
    ),
    "plateau": (
        Run(lambda: model(Adam(0.03), "mse"), X, NOISY, 10),
        Run(lambda: model(Adam(0.002), "mse"), X, NOISY, 10),
    ),
    "oscillation": (
        Run(lambda: model(SGD(0.02, momentum=0.99), "mse", 0), X, LINE),
        Run(lambda: model(SGD(0.02), "mse", 0), X, LINE),
    ),
    "divergence": (
        Run(lambda: model(SGD(0.02, momentum=0.99), "mse", 0), X, LINE),
        Run(lambda: model(SGD(0.02, momentum=0.5), "mse", 0), X, LINE),
    ),
    "overfitting": (
        Run(
            lambda: model(Adam(0.03)),
            X[:64],
            RNG.permutation(LABELS)[:64],
            20,
            held_out(X, RNG.permutation(LABELS)),
        ),
        Run(lambda: model(Adam(0.003)), X[:500], LABELS[:500], 8, held_out(X, LABELS)),
    ),
    "underfitting": (
        Run(lambda: model(Adam(0.01), BINARY, 0), CORNERS, CHECKERS, 8),
        Run(lambda: model(Adam(0.03), BINARY), CORNERS, CHECKERS, 8),
    ),
    "validation that is not comparable": (
        Run(lambda: model(Adam(0.01)), fit=held_out(X, (LABELS + 1) % 3)),
        Run(lambda: model(Adam(0.01)), X[:500], LABELS[:500], 4, held_out(X, LABELS)),
    ),
    "validation data on another scale": (
        Run(lambda: model(Adam(0.01)), fit=held_out(50 * X, LABELS)),
        Run(lambda: model(Adam(0.01)), X[:500], LABELS[:500], 4, held_out(X, LABELS)),
    ),
    "one class for all": (
        Run(lambda: model(Adam(0.01), bias_initializer=LOW)),
        Run(lambda: model(Adam(0.01))),
    ),
    "dead units": (
        Run(lambda: model(Adam(0.01), bias_initializer=LOW)),
        Run(lambda: model(Adam(0.01))),
    ),
    "saturated units": (
        Run(lambda: model(Adam(0.01), kernel_initializer=WIDE, **TANH)),
        Run(lambda: model(Adam(0.01), **TANH)),
    ),
    "sorted samples": (
        Run(lambda: model(SGD(0.1)), X[SORTED], LABELS[SORTED], 3, {"shuffle": False}),
        Run(lambda: model(SGD(0.1)), X[SORTED], LABELS[SORTED], 3),
    ),
}


@pytest.mark.parametrize("kind", RUNS)
def test_a_fault_is_found_and_its_healthy_twin_has_no_problem(kind: str) -> None:
    faulty, healthy = RUNS[kind]
    assert kind in [each.kind for each in faulty.findings()]
    found = healthy.findings()
    assert kind not in [each.kind for each in found]
    assert [each.kind for each in found if each.severity == "problem"] == []


ODD = {
    "classes": (SPARSE, LABELS, (LABELS[6] + 1) % 3),
    "two classes": (BINARY, (LABELS == 1).astype("int32"), LABELS[6] != 1),
    "quantities": ("mae", LINE, 30.0),
}


@pytest.mark.parametrize("targets", ODD)
def test_samples_whose_labels_look_wrong_are_listed(targets: str) -> None:
    loss, y, wrong = ODD[targets]
    found = Run(lambda: model(Adam(0.01), loss, 1), X, changed(y, 6, wrong), 8)
    kind = "labels that look wrong"
    [odd] = [each for each in found.findings() if each.kind == kind]
    # Every third sample is looked at; the numbers are those of the user's arrays.
    assert odd.samples == (6,)
    right = Run(lambda: model(Adam(0.01), loss, 1), X, y, 8).findings()
    assert kind not in [each.kind for each in right]
