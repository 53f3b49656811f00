"""The range test on train steps that users write, which get what `fit` gives them."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
from keras import ops

from keras_deeptools.callbacks import LearningRateFinder, find_learning_rate

BACKEND = keras.backend.backend()
X = np.random.default_rng(0).normal(size=(40, 4)).astype("float32")
Y = X[:, :1] - 2 * X[:, 1:2]
OPTIONS: dict[str, Any] = {"num_steps": 12, "verbose": 0}
CLEAR: dict[str, Any] = {"num_steps": 40, "min_learning_rate": 1e-4, "verbose": 0}
"""All samples in each batch, and rates among which the loss clearly falls."""


def updated(
    model: keras.Model, data: Any, state: Any, loss_of: Callable[[Any], Any]
) -> tuple[Any, Any]:
    """One update of a loss, as the guides of Keras write it for each backend.

    Returns the loss and, on JAX, the new state without that of the metrics.
    """
    if BACKEND == "tensorflow":
        with tf.GradientTape() as tape:
            loss = loss_of(data)
        weights = model.trainable_weights
        model.optimizer.apply(tape.gradient(loss, weights), weights)
        return loss, None
    if BACKEND == "torch":
        model.zero_grad()
        loss = loss_of(data)
        loss.backward()
        weights = list(model.trainable_weights)
        with torch.no_grad():
            model.optimizer.apply([v.value.grad for v in weights], weights)
        return loss, None
    import jax

    trainable, non_trainable, optimizer, metrics = state

    def stateless(values: Any) -> Any:
        mapping = [
            *zip(model.trainable_variables, values, strict=True),
            *zip(model.non_trainable_variables, non_trainable, strict=True),
        ]
        with keras.StatelessScope(state_mapping=mapping):
            return loss_of(data)

    loss, gradients = jax.value_and_grad(stateless)(trainable)
    trainable, optimizer = model.optimizer.stateless_apply(
        optimizer, gradients, trainable
    )
    return loss, (trainable, non_trainable, optimizer, metrics)


class OwnStep(keras.Model):
    """A linear regression whose `train_step` asserts what it is handed."""

    def __init__(self, unpack: Callable[[Any], tuple[Any, Any]]) -> None:
        super().__init__()
        self.unpack = unpack
        self.dense = keras.layers.Dense(1, kernel_initializer="zeros")
        self.dense.build((None, 4))
        self.built = True

    def call(self, x: Any) -> Any:
        return self.dense(x)

    def squared_error(self, data: Any) -> Any:
        x, y = self.unpack(data)
        return ops.mean(ops.square(self(x) - y))

    def logs(self, loss: Any) -> dict[str, Any]:
        return {"loss": loss}

    def train_step(self, *arguments: Any) -> Any:
        *state, data = arguments
        loss, new = updated(self, data, *(state or [None]), self.squared_error)
        return (self.logs(loss), new) if BACKEND == "jax" else self.logs(loss)


def two(data: Any) -> tuple[Any, Any]:
    x, y = data
    return x, y


def three(data: Any) -> tuple[Any, Any]:
    x, y, weights = data
    assert len(weights.shape) == 1
    return x, y


def alone(data: Any) -> tuple[Any, Any]:
    assert not isinstance(data, (tuple, list, dict))
    return data, data[:, :1] - 2 * data[:, 1:2]


def in_a_dict(data: Any) -> tuple[Any, Any]:
    return data["x"], data["y"]


def one(data: Any) -> tuple[Any, Any]:
    (x,) = data
    return alone(x)


def of_dicts(data: Any) -> tuple[Any, Any]:
    inputs, targets = data
    return inputs["a"], targets["b"][0]


def dataset(*parts: Any) -> Any:
    return tf.data.Dataset.from_tensor_slices(parts if len(parts) > 1 else parts[0])


class Pieces(keras.utils.PyDataset):
    def __init__(self, parts: Any) -> None:
        super().__init__()
        self.parts = parts

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> Any:
        rows = slice(8 * index, 8 * index + 8)
        return keras.tree.map_structure(lambda a: a[rows], self.parts)


def generated(parts: Any) -> Iterator[Any]:
    pieces = Pieces(parts)
    return (pieces[index] for index in range(5))


def loader() -> Any:
    data = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))
    return torch.utils.data.DataLoader(data, batch_size=8)


WEIGHTS = np.ones(40, "float32")
FORMS: dict[str, tuple[Callable[[], tuple[Any, ...]], Callable[[Any], Any]]] = {
    "two arrays": (lambda: (X, Y), two),
    "three arrays": (lambda: (X, Y, WEIGHTS), three),
    "one array": (lambda: (X,), alone),
    "a dict of arrays": (lambda: ({"x": X, "y": Y},), in_a_dict),
    "a list of arrays": (lambda: ([X],), lambda data: alone(data[0][0])),
    "nested arrays": (lambda: ({"a": X}, {"b": [Y]}), of_dicts),
    "a Dataset of pairs": (lambda: (dataset(X, Y).batch(8),), two),
    "a Dataset of three": (lambda: (dataset(X, Y, WEIGHTS).batch(8),), three),
    "a Dataset of inputs": (lambda: (dataset(X).batch(8),), alone),
    "a Dataset of dicts": (lambda: (dataset({"x": X, "y": Y}).batch(8),), in_a_dict),
    "a PyDataset of pairs": (lambda: (Pieces((X, Y)),), two),
    "a PyDataset of arrays": (lambda: (Pieces(X),), one),
    "a PyDataset of dicts": (lambda: (Pieces({"x": X, "y": Y}),), in_a_dict),
    "a generator of pairs": (lambda: (generated((X, Y)),), two),
    "a generator of three": (lambda: (generated((X, Y, WEIGHTS)),), three),
    "a DataLoader": (lambda: (loader(),), two),
}


def found_with(data: tuple[Any, ...], model: keras.Model, **options: Any) -> Any:
    options = OPTIONS | {"shuffle": False} | options
    if isinstance(keras.tree.flatten(data)[0], np.ndarray):
        options["batch_size"] = 8
    x, y, weights = (*data, None, None)[:3]
    return find_learning_rate(model, x, y, sample_weight=weights, **options)


def expected_losses(rates: np.ndarray) -> np.ndarray:
    """Losses before each update of plain gradient descent, in numpy."""
    weights, losses = np.zeros((5, 1)), []
    for step, rate in enumerate(rates):
        rows = slice(8 * (step % 5), 8 * (step % 5) + 8)
        x = np.hstack([X[rows], np.ones((8, 1))]).astype("float64")
        error = x @ weights - Y[rows]
        losses.append(np.mean(error**2))
        weights = weights - rate * 2 * x.T @ error / len(x)
    return np.array(losses)


@pytest.mark.alternates("form")
@pytest.mark.parametrize("form", FORMS)
def test_a_train_step_gets_exactly_what_fit_hands_to_it(form: str) -> None:
    make, unpack = FORMS[form]
    model = OwnStep(unpack)
    model.compile(keras.optimizers.SGD(0.01))
    found = found_with(make(), model, max_learning_rate=0.1)
    np.testing.assert_allclose(
        found.losses, expected_losses(found.learning_rates), rtol=2e-5
    )
    x, y, weights = (*make(), None, None)[:3]
    size = 8 if isinstance(keras.tree.flatten(x)[0], np.ndarray) else None
    history = model.fit(
        x,
        y,
        sample_weight=weights,
        shuffle=False,
        batch_size=size,
        steps_per_epoch=5,
        verbose=0,
    )
    assert np.isfinite(history.history["loss"]).all()


class Tracked(OwnStep):
    """With a running mean of its own, as in the guide, and shown under its name."""

    name_of_loss = "my_loss"

    def __init__(self) -> None:
        super().__init__(two)
        self.loss_tracker = keras.metrics.Mean(name=self.name_of_loss)

    @property
    def metrics(self) -> list[Any]:
        return [self.loss_tracker]

    def train_step(self, *arguments: Any) -> Any:
        *state, data = arguments
        loss, new = updated(self, data, *(state or [None]), self.squared_error)
        if BACKEND != "jax":
            self.loss_tracker.update_state(loss)
            return {m.name: m.result() for m in self.metrics}
        values = self.loss_tracker.stateless_update_state(new[3], loss)
        logs = {self.name_of_loss: self.loss_tracker.stateless_result(values)}
        return logs, (*new[:3], values)


class TrackedLoss(Tracked):
    name_of_loss = "loss"


@pytest.mark.parametrize("make", [Tracked, TrackedLoss])
def test_running_means_start_anew_with_each_batch(make: type) -> None:
    model = make()
    model.compile(keras.optimizers.SGD(0.01))
    found = found_with((X, Y), model, max_learning_rate=0.1)
    np.testing.assert_allclose(
        found.losses, expected_losses(found.learning_rates), rtol=2e-5
    )
    named = [note for note in found.notes if "'my_loss'" in note]
    assert len(named) == (make is Tracked)


class SeveralLogs(OwnStep):
    """Reports a loss that falls, one that stays, and something else."""

    def __init__(self, *names: str) -> None:
        super().__init__(two)
        self.names = names

    def logs(self, loss: Any) -> dict[str, Any]:
        values = {
            "reconstruction_loss": loss,
            "total_loss": loss,
            "kl_loss": ops.zeros_like(loss) + 3.0,
            "distance": loss,
            "accuracy": ops.zeros_like(loss) + 0.5,
            "loss": ops.zeros_like(loss),
        }
        return {name: values[name] for name in self.names}


@pytest.mark.alternates("names")
@pytest.mark.parametrize(
    "names, chosen",
    [
        (["total_loss", "kl_loss", "reconstruction_loss"], "total_loss"),
        (["accuracy", "kl_loss"], "kl_loss"),
        (["distance"], "distance"),
        (["accuracy", "distance"], "distance"),
        (["reconstruction_loss", "kl_loss", "accuracy"], "reconstruction_loss"),
        (["loss", "reconstruction_loss"], "reconstruction_loss"),
    ],
    ids=" ".join,
)
def test_the_loss_is_told_by_its_name_or_by_its_fall(names: list, chosen: str) -> None:
    model = SeveralLogs(*names)
    model.compile(keras.optimizers.SGD(0.01))
    found = find_learning_rate(model, X, Y, batch_size=40, **CLEAR)
    assert f"read from {chosen!r}" in " ".join(found.notes)


class NestedLogs(OwnStep):
    """Its metrics' results are a dict in the logs, as the guides return them."""

    def logs(self, loss: Any) -> dict[str, Any]:
        return {"loss": loss, "compile_metrics": {"mae": loss + 1.0}}


def test_a_dict_among_the_logs_is_taken_apart_as_fit_does() -> None:
    model = NestedLogs(lambda data: data)
    model.compile("sgd")
    found = find_learning_rate(model, X, Y, loss_name="mae", **CLEAR)
    losses = find_learning_rate(model, X, Y, **CLEAR).losses
    np.testing.assert_allclose(found.losses, losses + 1.0, rtol=1e-5)


def test_a_loss_that_is_named_is_taken() -> None:
    model = SeveralLogs("total_loss", "kl_loss", "accuracy")
    model.compile(keras.optimizers.SGD(0.01))
    found = found_with((X, Y), model, loss_name="kl_loss")
    np.testing.assert_allclose(found.losses, 3.0)


@pytest.mark.one_backend
def test_logs_of_which_several_fall_are_listed() -> None:
    class Two(SeveralLogs):
        def logs(self, loss: Any) -> dict[str, Any]:
            return {"g_loss": loss, "d_loss": 2 * loss}

    model = Two()
    model.compile(keras.optimizers.SGD(0.01))
    with pytest.raises(ValueError, match=r"`loss_name` must say.*'d_loss', 'g_loss'"):
        find_learning_rate(model, X, Y, batch_size=40, **CLEAR)
    assert np.all(model.get_weights()[0] == 0)


@pytest.mark.one_backend
def test_a_loss_name_that_is_no_log_is_refused_with_the_names() -> None:
    model = SeveralLogs("kl_loss", "accuracy")
    model.compile(keras.optimizers.SGD(0.01))
    message = r"`loss_name` must be one of .*\['accuracy', 'kl_loss'\].*'lost'"
    with pytest.raises(ValueError, match=message):
        found_with((X, Y), model, loss_name="lost")
    with pytest.raises(TypeError, match="`loss_name` must be a str or None"):
        LearningRateFinder(X, Y, loss_name=3)


def test_the_callback_takes_the_name_of_the_loss() -> None:
    model = SeveralLogs("reconstruction_loss", "distance", "accuracy")
    model.compile(keras.optimizers.SGD(1e-6))
    finder = LearningRateFinder(X, Y, loss_name="distance", batch_size=40, **CLEAR)
    model.fit(X, Y, verbose=0, callbacks=[finder])
    assert float(model.optimizer.learning_rate) == pytest.approx(float(finder.result))


class OwnLoss(keras.Model):
    """Overrides `compute_loss`, adds a loss in a layer, and reports all metrics."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(
            1, kernel_initializer="zeros", activity_regularizer="l2"
        )

    def call(self, x: Any) -> Any:
        return self.dense(x)

    def compute_loss(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None, **kwargs: Any
    ) -> Any:
        return ops.mean(ops.square(y_pred - y)) + sum(self.losses) + 5.0


def test_a_compute_loss_of_the_users_is_read() -> None:
    model = OwnLoss()
    model.compile(keras.optimizers.SGD(0.01))
    found = found_with((X, Y), model, max_learning_rate=1e-6)
    expected = expected_losses(np.zeros(12)) + 5.0
    np.testing.assert_allclose(found.losses, expected, rtol=1e-4)


class OwnTrainOnBatch(OwnStep):
    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError("fit does not call it")


def test_a_train_on_batch_of_the_users_is_left_alone() -> None:
    model = OwnTrainOnBatch(two)
    model.compile(keras.optimizers.SGD(0.01))
    assert len(found_with((X, Y), model).losses) == 12


class Numbers(OwnStep):
    def logs(self, loss: Any) -> Any:
        return loss


def test_a_train_step_that_returns_no_dict_is_refused() -> None:
    model = Numbers(two)
    model.compile(keras.optimizers.SGD(0.01))
    with pytest.raises(TypeError, match="`train_step` must return a dict"):
        found_with((X, Y), model)


class OfTwoOptimizers(OwnStep):
    """Its step updates with `own`, and never with the optimizer of `compile`."""

    def __init__(self) -> None:
        super().__init__(two)
        self.own = keras.optimizers.SGD(0.01)
        self.idle = keras.optimizers.Adam(0.5)

    def train_step(self, data: Any) -> Any:
        x, y = data
        weights = self.trainable_weights
        if BACKEND == "tensorflow":
            with tf.GradientTape() as tape:
                loss = self.squared_error((x, y))
            self.own.apply(tape.gradient(loss, weights), weights)
            return {"loss": loss}
        self.zero_grad()
        loss = self.squared_error((x, y))
        loss.backward()
        with torch.no_grad():
            self.own.apply([v.value.grad for v in weights], list(weights))
        return {"loss": loss}


if BACKEND != "jax":  # Keras hands a train step the state of one optimizer there.

    @pytest.mark.parametrize("choice", [None, "own"])
    def test_the_rate_of_the_optimizer_that_the_step_uses_grows(choice: Any) -> None:
        model = OfTwoOptimizers()
        model.compile("adam")
        found = found_with((X, Y), model, max_learning_rate=0.1, optimizer=choice)
        np.testing.assert_allclose(
            found.losses, expected_losses(found.learning_rates), rtol=2e-5
        )
        assert not model.own.built
        assert float(model.own.learning_rate) == pytest.approx(0.01)

    def test_an_optimizer_that_makes_no_update_is_refused_with_the_one_that_does() -> (
        None
    ):
        model = OfTwoOptimizers()
        model.compile("adam")
        with pytest.raises(
            ValueError, match=r'`idle`.*made no update.*optimizer="own"'
        ):
            found_with((X, Y), model, optimizer="idle")


@pytest.mark.one_backend
def test_an_optimizer_that_the_model_lacks_is_refused_with_those_that_it_has() -> None:
    model = OwnStep(two)
    model.compile("adam")
    with pytest.raises(ValueError, match="`optimizer` must name.*It has `optimizer`"):
        found_with((X, Y), model, optimizer="g_optimizer")
