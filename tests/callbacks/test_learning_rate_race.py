"""The race between learning rates: short trainings with a schedule, all undone."""

import math
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest

from keras_deeptools.callbacks import (
    LearningRateFinder,
    LearningRateRace,
    OneCycleScheduler,
    find_learning_rate,
)
from keras_deeptools.callbacks._learning_rate_finder.race import (
    Heat,
    lengths_of,
    narrowed,
    winner_of,
)
from keras_deeptools.schedules import ExponentialRamp, FlatCosine, Schedule

BACKEND = keras.backend.backend()
X = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
Y = X[:, :1] - 2 * X[:, 1:2]


def linear_model(optimizer: Any = None, **kwargs: Any) -> keras.Model:
    """Linear regression from zero weights: all of it can be followed in numpy."""
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(1, kernel_initializer="zeros")]
    )
    model.compile(optimizer or keras.optimizers.SGD(0.01), loss="mse", **kwargs)
    return model


def race(model: keras.Model, x: Any = X, y: Any = Y, **kwargs: Any) -> LearningRateRace:
    given = {"method": "race", "schedule": "cosine", "verbose": 0} | kwargs
    if isinstance(x, np.ndarray):
        given.setdefault("batch_size", 4)
    found = find_learning_rate(model, x, y, **given)
    assert isinstance(found, LearningRateRace)
    return found


def state(model: keras.Model) -> list[np.ndarray]:
    variables = [*model.variables, *model.optimizer.variables]
    return [np.array(keras.ops.convert_to_numpy(v.value)) for v in variables]


def end_of_descent(
    schedule: Schedule, num_updates: int, momentum: float = 0.0
) -> float:
    """The loss of the four held-out batches after gradient descent on the others."""
    rows = np.hstack([X, np.ones((64, 1))]).astype("float64")
    x, y = rows.reshape(16, 4, 5), Y.reshape(16, 4, 1).astype("float64")
    weights, velocity = np.zeros((5, 1)), np.zeros((5, 1))
    for step in range(num_updates):
        at = 4 + step % 12
        gradient = 2 * x[at].T @ (x[at] @ weights - y[at]) / 4
        velocity = momentum * velocity - float(schedule.values(step)) * gradient
        weights = weights + velocity
    return float(np.mean((x[:4] @ weights - y[:4]) ** 2))


# --- The trainings -------------------------------------------------------------------


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_heat_ends_with_the_loss_of_gradient_descent_on_the_schedule(
    momentum: float,
) -> None:
    optimizer = keras.optimizers.SGD(0.01, momentum=momentum)
    found = race(linear_model(optimizer), shuffle=False)
    last = [heat for heat in found.heats if heat.rung == 1 and heat.loss < 2.0]
    assert last
    for heat in last:
        cosine = FlatCosine(heat.learning_rate, heat.num_updates, flat_fraction=0.0)
        expected = end_of_descent(cosine, heat.num_updates, momentum)
        assert heat.loss == pytest.approx(expected, rel=2e-2)


@pytest.mark.backend_free
def test_the_best_and_the_two_below_train_on_for_longer() -> None:
    heats = narrowed(
        lambda rate, length, is_last: abs(math.log(rate)) / length,
        [0.001, 0.01, 0.1, 1.0, 9.0],
        [8, 48],
    )
    assert [(h.rung, h.learning_rate, h.num_updates) for h in heats] == [
        *[(0, rate, 8) for rate in (0.001, 0.01, 0.1, 1.0, 9.0)],
        *[(1, rate, 48) for rate in (0.01, 0.1, 1.0)],
    ]


@pytest.mark.backend_free
def test_of_two_that_are_nearly_as_good_the_smaller_one_wins() -> None:
    heats = [Heat(1, 0.1, 48, 0.52), Heat(1, 0.3, 48, 0.5), Heat(1, 0.01, 48, 0.7)]
    assert winner_of(heats) == 0.1


@pytest.mark.backend_free
@pytest.mark.parametrize("budget", [40, 140, 1000])
def test_the_trainings_keep_to_the_updates_that_are_left(budget: int) -> None:
    short, long = lengths_of(4, budget)
    assert 0.6 * budget <= 4 * short + 3 * long <= budget


@pytest.mark.one_backend
def test_a_race_makes_no_more_updates_than_allowed() -> None:
    assert race(linear_model(), max_updates=100).num_updates <= 100


@pytest.mark.one_backend
def test_the_suggestion_is_near_the_best_learning_rate() -> None:
    found = race(linear_model())
    losses = {
        rate: end_of_descent(FlatCosine(rate, 25, flat_fraction=0.0), 25)
        for rate in np.geomspace(1e-4, 0.3, 40)
    }
    reached = end_of_descent(FlatCosine(float(found), 25, flat_fraction=0.0), 25)
    assert reached <= 3 * min(losses.values()) + 0.05


@pytest.mark.one_backend
def test_with_too_few_batches_the_training_loss_counts() -> None:
    found = race(linear_model(), batch_size=32)
    assert math.isfinite(found.suggestion)
    assert any("too few batches" in note for note in found.notes)


@pytest.mark.skipif(BACKEND == "torch", reason="torch traces nothing")
def test_all_candidates_share_one_compiled_step() -> None:
    traces = []

    def loss(y: Any, prediction: Any) -> Any:
        traces.append(1)
        return keras.ops.mean(keras.ops.square(prediction - y))

    def traced(**kwargs: Any) -> int:
        traces.clear()
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        model.compile("sgd", loss=loss)
        find_learning_rate(model, X, Y, batch_size=4, verbose=0, **kwargs)
        return len(traces)

    assert traced(method="race") <= 2 * traced()


# --- Nothing is left behind ----------------------------------------------------------


def subclassed() -> keras.Model:
    """A model that is not built."""
    return keras.Sequential(
        [
            keras.layers.Dense(6, "relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(1),
        ]
    )


def test_race_then_fit_equals_fit() -> None:
    results = []
    for searched in (False, True):
        keras.utils.set_random_seed(1)
        model = subclassed()
        model.compile("adam", loss="mse", metrics=["mae"])
        if searched:
            race(model, schedule="one_cycle", max_updates=60)
        history = model.fit(X, Y, batch_size=12, epochs=2, verbose=0).history
        results.append((history, state(model)))
    (plain, expected), (after, values) = results
    assert after == plain
    for this, that in zip(values, expected, strict=True):
        np.testing.assert_array_equal(this, that)


@pytest.mark.one_backend
def test_an_error_in_a_training_leaves_the_model_as_it_was() -> None:
    calls = []

    def loss(y: Any, prediction: Any) -> Any:
        calls.append(1)
        if len(calls) > 80:
            raise RuntimeError("broken on purpose")
        return keras.ops.mean(keras.ops.square(prediction - y))

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("adam", loss=loss)
    model.evaluate(X[:4], Y[:4], verbose=0)
    before = state(model)
    with pytest.raises(RuntimeError, match="on purpose"):
        race(model)
    for this, that in zip(state(model), before, strict=True):
        np.testing.assert_array_equal(this, that)


# --- Models and data -----------------------------------------------------------------


class TwoOptimizers(keras.Model):
    """Its own `train_step` updates with `own`, without a loss of `compile`."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(1)
        self.own = keras.optimizers.SGD(0.01)

    def call(self, x: Any) -> Any:
        return self.dense(x)

    def train_step(self, data: Any) -> Any:
        x, y = data
        self.zero_grad()
        loss = keras.ops.mean(keras.ops.square(self(x) - y))
        loss.backward()
        weights = list(self.trainable_weights)
        self.own.apply([v.value.grad for v in weights], weights)
        return {"my_loss": loss}


@pytest.mark.one_backend
def test_an_optimizer_that_the_step_builds_races_from_its_start() -> None:
    model = TwoOptimizers()
    model.compile("adam")
    found = race(model)
    assert not model.own.built
    assert found.heats[-1].loss < 1.0


def test_mixed_precision_races() -> None:
    policy = keras.dtype_policies.DTypePolicy("mixed_float16")
    layers = [keras.Input((4,)), keras.layers.Dense(1, dtype=policy)]
    model = keras.Sequential(layers)
    scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.01))
    model.compile(scaled, loss="mse")
    found = race(model, max_updates=60)
    assert 1e-3 < float(found) < 1.0


@pytest.mark.one_backend
def test_frozen_layers_stay_as_they_are() -> None:
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(4), keras.layers.Dense(1)]
    )
    model.layers[0].trainable = False
    model.compile("adam", loss="mse")
    before = model.layers[0].get_weights()
    race(model, max_updates=60)
    np.testing.assert_array_equal(model.layers[0].get_weights()[0], before[0])


def batches() -> Iterator[Any]:
    for start in range(0, 64, 4):
        yield X[start : start + 4], Y[start : start + 4]


@pytest.mark.one_backend
def test_a_generator_is_given_back_whole() -> None:
    found = race(linear_model(), batches(), None)
    assert math.isfinite(found.suggestion)
    assert found.data is not None
    np.testing.assert_array_equal(np.concatenate([x for x, _ in found.data]), X)


@pytest.mark.one_backend
def test_weights_of_classes_and_samples_count() -> None:
    labels = (X[:, :1] > 0).astype("int32")
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(2, "softmax", kernel_initializer="zeros"),
        ]
    )
    model.compile("sgd", loss="sparse_categorical_crossentropy")
    once = race(model, X, labels, shuffle=False)
    weights = {0: 0.0, 1: 0.0}
    none = race(model, X, labels, shuffle=False, class_weight=weights)
    assert once.heats[0].loss > 0
    assert {heat.loss for heat in none.heats} == {0.0}


# --- The result ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def found() -> LearningRateRace:
    return race(linear_model(), schedule="one_cycle")


@pytest.mark.one_backend
def test_the_result_is_the_peak_for_one_cycle(found: LearningRateRace) -> None:
    assert OneCycleScheduler(found).max_learning_rate == found.suggestion


@pytest.mark.one_backend
def test_the_result_shows_its_table(found: LearningRateRace) -> None:
    table = found.to_dataframe()
    assert list(table.columns) == ["rung", "learning_rate", "num_updates", "loss"]
    assert len(table) == len(found.heats)
    assert "for one_cycle" in repr(found)
    assert found._repr_html_().count("\n") == repr(found).count("\n")


@pytest.mark.one_backend
def test_the_plot_has_a_line_for_each_rung(found: LearningRateRace) -> None:
    labels = found.plot().get_legend_handles_labels()[1]
    assert [label for label in labels if "updates" in label] == [
        f"{length} updates" for length in sorted({h.num_updates for h in found.heats})
    ]


@pytest.mark.one_backend
def test_the_callback_takes_the_method() -> None:
    model = linear_model()
    finder = LearningRateFinder(X, Y, batch_size=4, method="race", verbose=0)
    model.fit(X, Y, batch_size=4, callbacks=[finder], verbose=0)
    assert isinstance(finder.result, LearningRateRace)
    assert float(model.optimizer.learning_rate) == pytest.approx(float(finder.result))


# --- Errors --------------------------------------------------------------------------

REFUSED: dict[str, tuple[dict[str, Any], type, str]] = {
    "method": ({"method": "rase"}, ValueError, "Did you mean 'race'"),
    "schedule": ({"schedule": "cosin"}, ValueError, "Did you mean 'cosine'"),
    "schedule of another kind": ({"schedule": 3}, TypeError, "`schedule` must be"),
    "schedule without an end": (
        {"schedule": keras.optimizers.schedules.ExponentialDecay(0.1, 5, 0.5)},
        TypeError,
        "`schedule` must be",
    ),
    "too few updates": ({"max_updates": 10}, ValueError, ">= 50"),
    "updates of a ramp": (
        {"method": "ramp", "max_updates": 100},
        ValueError,
        "`num_steps`",
    ),
}


@pytest.mark.one_backend
@pytest.mark.parametrize("case", REFUSED)
def test_arguments_out_of_range_are_refused(case: str) -> None:
    options, kind, words = REFUSED[case]
    with pytest.raises(kind, match=words):
        race(linear_model(), **options)


@pytest.mark.one_backend
def test_a_schedule_object_gives_the_shape() -> None:
    ramp = ExponentialRamp(0.1, 5.0, 30)
    assert race(linear_model(), schedule=ramp).schedule == "ExponentialRamp"
