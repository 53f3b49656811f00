"""`TrainingDoctor` names causes while a model trains, and does what it is told to."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from keras_deeptools.callbacks import GradientClipper
from keras_deeptools.diagnosis import (
    ActivationMonitor,
    TrainingDoctor,
    TrainingProblemError,
    TrainingWarning,
)
from keras_deeptools.diagnosis._training_doctor.curves import BatchLosses

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


@pytest.mark.one_backend
def test_the_limit_of_a_gradient_clipper_is_named() -> None:
    model = network(keras.optimizers.SGD(0.1))
    doctor = TrainingDoctor(on_problem="ignore")
    clipper = GradientClipper(global_norm=1e-6)
    model.fit(X, LABELS, epochs=3, verbose=0, callbacks=[clipper, doctor])
    assert doctor.findings[0].kind == "clipping stops learning"
    assert "GradientClipper's global_norm=1e-06" in doctor.findings[0].message


def test_a_healthy_training_has_no_problem() -> None:
    found = findings_of(network(), epochs=6)
    assert [each.kind for each in found if each.severity == "problem"] == []


@pytest.mark.one_backend
def test_it_warns() -> None:
    with pytest.warns(TrainingWarning, match="TrainingDoctor: symmetric units"):
        network(kernel_initializer="zeros").fit(
            X, LABELS, epochs=3, callbacks=[TrainingDoctor()], verbose=0
        )


@pytest.mark.one_backend
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


def labels_out_of_range(doctor: TrainingDoctor) -> None:
    network().fit(X, LABELS + 1, callbacks=[doctor], verbose=0)


@pytest.mark.one_backend
def test_labels_that_a_step_would_fail_on_are_told_before_it() -> None:
    with pytest.raises(TrainingProblemError, match=r"labels out of range.*\[0, 3\)"):
        labels_out_of_range(TrainingDoctor("raise"))


@pytest.mark.one_backend
def test_a_loss_that_is_not_finite_ends_training_within_its_epoch() -> None:
    with pytest.raises(TrainingProblemError, match="non-finite inputs") as caught:
        network().fit(BROKEN, LABELS, callbacks=[TrainingDoctor("raise")], verbose=0)
    assert "epoch 1" in str(caught.value)


@pytest.mark.one_backend
def test_what_cannot_be_repaired_is_told() -> None:
    def generate() -> Any:
        while True:
            yield X[:64], LABELS[:64]

    doctor = TrainingDoctor("repair")
    with pytest.warns(TrainingWarning) as caught:
        network(keras.optimizers.SGD(-0.1)).fit(
            generate(),
            steps_per_epoch=10,
            epochs=3,
            shuffle=False,
            callbacks=[doctor],
            verbose=0,
        )
    assert doctor.repaired is None
    assert "remedies are tried on arrays" in str(caught[-1].message)


class OwnStep(keras.Model):
    """Outputs by a call of its own, on TensorFlow and torch trained by its own step."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.end = layers.Dense(16, "relu"), layers.Dense(3, "softmax")

    def call(self, inputs: Any) -> Any:
        return self.end(self.hidden(inputs))

    if keras.backend.backend() == "torch":

        def train_step(self, data: Any) -> dict[str, Any]:
            x, y = data
            self.zero_grad()
            loss = self.compute_loss(x, y, self(x, training=True))
            loss.backward()
            weights = list(self.trainable_weights)
            self.optimizer.apply([each.value.grad for each in weights], weights)
            return {"loss": loss}


def own_step(rate: float) -> keras.Model:
    keras.utils.set_random_seed(1)
    model = OwnStep()
    model.compile(keras.optimizers.SGD(rate), SPARSE)
    return model


def half(rate: float) -> keras.Model:
    model = network(keras.optimizers.SGD(rate), dtype="mixed_float16")
    model.compile(keras.optimizers.SGD(rate), SPARSE)
    return model


def compiled(**settings: Any) -> Any:
    def build(rate: float) -> keras.Model:
        accumulated = settings.get("accumulated")
        optimizer = keras.optimizers.SGD(rate, gradient_accumulation_steps=accumulated)
        model = network()
        rest = {name: v for name, v in settings.items() if name != "accumulated"}
        model.compile(optimizer, SPARSE, **rest)
        return model

    return build


WAYS = {
    "own step": own_step,
    "float16": half,
    "eager": compiled(run_eagerly=True),
    "accumulated": compiled(accumulated=2),
    "several steps": compiled(
        steps_per_execution=1 if keras.backend.backend() == "torch" else 3
    ),
}


@pytest.mark.alternates("way", but=("several",))
@pytest.mark.parametrize("way", WAYS)
def test_it_raises_however_the_model_trains(way: str) -> None:
    options = {"epochs": 3, "verbose": 0}
    with pytest.raises(TrainingProblemError, match="learning rate not positive"):
        doctor = TrainingDoctor("raise")
        WAYS[way](-0.1).fit(X[:320], LABELS[:320], callbacks=[doctor], **options)
    doctor = TrainingDoctor("raise")
    WAYS[way](0.05).fit(X[:320], LABELS[:320], callbacks=[doctor], **options)


@pytest.mark.one_backend
def test_it_repairs_a_copy() -> None:
    doctor = TrainingDoctor("repair")
    with pytest.warns(TrainingWarning):
        network(kernel_initializer="zeros").fit(
            X, LABELS, epochs=9, callbacks=[doctor], verbose=0
        )
    assert doctor.repaired is not None and doctor.repaired.score_after > 0.9


def trained(data: Any, *callbacks: keras.callbacks.Callback) -> list[np.ndarray]:
    """All that a training leaves, after dropout, batch statistics and shuffling."""
    keras.utils.set_random_seed(3)
    stack = [layers.Dense(16, "relu"), layers.BatchNormalization(), layers.Dropout(0.3)]
    model = keras.Sequential([keras.Input((8,)), *stack, layers.Dense(3, "softmax")])
    model.compile(keras.optimizers.Adam(0.01), SPARSE)
    options = {"shuffle": len(data) > 1, "verbose": 0, "callbacks": list(callbacks)}
    history = model.fit(*data, epochs=3, **options)
    slots = [keras.ops.convert_to_numpy(v) for v in model.optimizer.variables]
    return [*model.get_weights(), *slots, np.array(history.history["loss"])]


BROKEN = np.where(X > 4, np.inf, X)


@pytest.mark.parametrize("x", [X, BROKEN], ids=["finite", "not finite"])
def test_training_is_bit_for_bit_what_it_is_without_it(x: np.ndarray) -> None:
    data = (x[:200], LABELS[:200])
    doctor = TrainingDoctor("ignore")
    for with_it, without in zip(trained(data, doctor), trained(data), strict=True):
        np.testing.assert_array_equal(with_it, without)


@pytest.mark.one_backend
def test_the_order_of_a_shuffled_dataset_is_what_it_is_without_it() -> None:
    tf = pytest.importorskip("tensorflow")

    def data() -> tuple[Any]:
        tf.random.set_seed(1)
        rows = tf.data.Dataset.from_tensor_slices((X[:200], LABELS[:200]))
        return (rows.cache().shuffle(200, seed=5).batch(32),)

    doctor = TrainingDoctor("ignore")
    for with_it, without in zip(trained(data(), doctor), trained(data()), strict=True):
        np.testing.assert_array_equal(with_it, without)


@pytest.mark.one_backend
def test_it_can_be_used_again_and_with_another_model() -> None:
    doctor, healthy = TrainingDoctor("ignore"), network()
    options = {"epochs": 3, "verbose": 0, "callbacks": [doctor]}
    bad = network(keras.optimizers.SGD(-0.1))
    found = []
    for model in (healthy, bad, healthy):
        model.fit(X, LABELS, **options)
        found.append([f.kind for f in doctor.findings if f.severity == "problem"])
    assert (found[0], found[1][0], found[2]) == ([], "learning rate not positive", [])


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


@pytest.mark.one_backend
def test_the_table_has_a_line_for_each_layer() -> None:
    monitor = ActivationMonitor()
    network().fit(X, LABELS, callbacks=[monitor], verbose=0)
    assert len(monitor.table().splitlines()) == 5


@pytest.mark.backend_free
def test_losses_are_kept_by_their_batch_and_not_by_when_they_arrive() -> None:
    losses = np.random.default_rng(0).uniform(1, 2, 40)
    means = np.cumsum(losses) / np.arange(1, 41)
    kept = []
    for order in ([3, 0, 1, 2], [0, 1, 2, 3]):
        read = BatchLosses(40, is_mean=True)
        for batch in range(40):
            place = batch - batch % 4 + order[batch % 4]
            read.add(place, {"loss": means[place]})
            read.read()
        read.read(is_end=True)
        kept.append(read.values)
    assert kept[0] == kept[1]
    np.testing.assert_allclose(kept[0], losses)
