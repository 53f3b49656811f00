import math
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.metrics import log_loss, mean_absolute_error, mean_squared_error

from keras_deeptools.tuning import HopelessTrialStopper, SearchReport, objective
from keras_deeptools.tuning._trials.hopeless_rules import (
    constant_loss,
    constant_loss_of,
    median_of_others,
)
from keras_deeptools.tuning._trials.searched_trial import project_records
from tuning.trial_of_a_search import Trial, scripted

pytestmark = pytest.mark.one_backend

RANDOM = np.random.default_rng(0)


def stopper(**options: object) -> HopelessTrialStopper:
    return HopelessTrialStopper(gradients=False, **options)


# --- No learning ---------------------------------------------------------------------


def test_a_trial_that_learns_nothing_ends_after_the_patience() -> None:
    record = Trial().run([1.0] * 10, stopper(patience=4))
    assert (record.status, record.finding, record.finding_epoch) == (
        "stopped",
        "no learning",
        4,
    )
    assert record.epochs == 4 and record.planned_epochs == 10
    assert record.seconds_saved == 6 * record.seconds_per_epoch
    assert "no better than in the first epoch, 1." in record.message


@pytest.mark.parametrize(
    "losses",
    [
        [1.0, 0.97, 0.94, 0.91, 0.88],
        [5.0, 5.0, 5.0, 5.0, 4.9],
        [1.0, 0.5, 0.6, 0.6, 0.6],
    ],
    ids=["slow", "late", "learned early"],
)
def test_a_trial_that_learns_is_left_alone(losses: list[float]) -> None:
    assert Trial().run(losses, stopper(patience=5)).status == "completed"


def test_a_start_that_is_lucky_is_no_learning() -> None:
    y = np.array([0, 1] * 8)  # entropy 0.693
    record = Trial().run([0.65] * 4, stopper(patience=4), y=y)
    assert record.finding == "no learning"


def test_targets_tell_what_no_learning_is() -> None:
    y = np.array([0, 1] * 8)  # entropy 0.693
    stuck = Trial("0").run([50.0, 0.7, 0.7, 0.7], stopper(patience=4), y=y)
    assert stuck.finding == "no learning"
    assert "predicting the same for every row, 0.6931" in stuck.message
    better = Trial("1").run([50.0, 0.7, 0.6, 0.6], stopper(patience=4), y=y)
    assert better.status == "completed"


def test_a_promoted_trial_is_not_compared_with_its_own_start() -> None:
    record = Trial().run([0.1] * 4, stopper(patience=3), initial_epoch=5)
    assert record.status == "completed"


def test_a_loss_below_zero_may_go_on_falling() -> None:
    falling = [-1.0, -1.1, -1.2, -1.3]
    assert Trial("0").run(falling, stopper(patience=3)).status == "completed"
    assert Trial("1").run([-1.0] * 4, stopper(patience=3)).status == "stopped"


def encoded(labels: np.ndarray) -> np.ndarray:
    return keras.utils.to_categorical(labels, 3)


LABELS = RANDOM.choice(3, size=60, p=[0.6, 0.3, 0.1])
BITS = (LABELS == 0).astype(int)
NUMBERS = RANDOM.gamma(2.0, size=60)
ROWS = np.zeros((60, 1))


@pytest.mark.parametrize(
    ("loss", "targets", "labels"),
    [
        ("sparse_categorical_crossentropy", LABELS[:, None], LABELS),
        ("categorical_crossentropy", encoded(LABELS), LABELS),
        (
            keras.losses.CategoricalCrossentropy(from_logits=True),
            encoded(LABELS),
            LABELS,
        ),
        ("binary_crossentropy", BITS, BITS),
    ],
)
def test_the_loss_of_one_prediction_is_that_of_class_frequencies(
    loss: object, targets: np.ndarray, labels: np.ndarray
) -> None:
    dummy = DummyClassifier(strategy="prior").fit(ROWS, labels)
    expected = log_loss(labels, dummy.predict_proba(ROWS))
    assert constant_loss(loss, targets) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("loss", "strategy", "measure"),
    [
        ("mean_squared_error", "mean", mean_squared_error),
        (keras.losses.MeanAbsoluteError(), "median", mean_absolute_error),
    ],
)
def test_the_loss_of_one_prediction_is_that_of_the_mean_or_the_median(
    loss: object, strategy: str, measure: object
) -> None:
    dummy = DummyRegressor(strategy=strategy).fit(ROWS, NUMBERS)
    expected = measure(NUMBERS, dummy.predict(ROWS))
    assert constant_loss(loss, NUMBERS[:, None]) == pytest.approx(expected)


def test_smoothed_labels_count_as_smoothed() -> None:
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=0.1)
    y = encoded(LABELS)
    predicted = np.tile(y.mean(axis=0) * 0.9 + 0.1 / 3, (60, 1))
    assert constant_loss(loss, y) == pytest.approx(float(loss(y, predicted)), rel=1e-5)


@pytest.mark.parametrize(
    ("loss", "targets"),
    [
        ("poisson", NUMBERS),
        (["mse"], NUMBERS),
        ("mse", [1.0, 2.0]),
        ("mse", None),
        ("mse", np.zeros((0, 1))),
    ],
)
def test_of_other_losses_and_targets_it_is_not_known(
    loss: object, targets: object
) -> None:
    assert constant_loss(loss, targets) is None


def test_with_penalties_it_is_not_known() -> None:
    layer = keras.layers.Dense(1, kernel_regularizer="l2")
    model = keras.Sequential([keras.Input((1,)), layer])
    model.compile("sgd", "mse")
    assert constant_loss_of(model, NUMBERS) is None


# --- The median rule -----------------------------------------------------------------


def test_the_median_is_of_running_averages_of_trials_that_came_as_far() -> None:
    others = [[1.0, 3.0, 9.0], [5.0, 5.0], [2.0], [math.nan, 1.0], [0.0, 2.0]]
    assert median_of_others(others, 2) == np.median([2.0, 5.0, 1.0])
    assert median_of_others(others, 4) is None


def run_others(goal: object, name: str, values: list[float]) -> None:
    for i, value in enumerate(values):
        Trial(f"{name}{i}", goal).run([value, value - 0.1, value - 0.2])


def test_a_trial_below_the_median_of_those_before_ends() -> None:
    goal = objective("loss")
    run_others(goal, "before", [1.0, 2.0, 3.0])
    rule = {"min_trials": 3, "warmup_epochs": 1, "patience": 9}
    # The median of the running averages after two epochs is 1.95.
    worse = Trial("worse", goal).run([9.0, 1.96, 1.0], stopper(**rule))
    assert (worse.finding, worse.finding_epoch) == ("below median", 2)
    assert "loss was 1.96 at best; the median of 3 trials was 1.95" in worse.message
    better = Trial("better", goal).run([9.0, 1.94, 1.8], stopper(**rule))
    assert better.status == "completed"


def test_of_an_objective_to_maximize_less_is_worse() -> None:
    goal = objective("loss", "max")
    run_others(goal, "before", [1.0, 2.0, 3.0])
    rule = {"min_trials": 3, "warmup_epochs": 1, "patience": 9}
    assert Trial("low", goal).run([1.9, 1.9], stopper(**rule)).status == "stopped"
    assert Trial("high", goal).run([1.9, 2.0], stopper(**rule)).status == "completed"


@pytest.mark.parametrize(
    "rule",
    [{"min_trials": 4}, {"warmup_epochs": 3}, {"median": False}],
    ids=["few trials", "early", "off"],
)
def test_the_median_does_not_judge(rule: dict[str, object]) -> None:
    goal = objective("loss")
    run_others(goal, "before", [1.0, 2.0, 3.0])
    rule = {"min_trials": 3, "warmup_epochs": 1, "patience": 9} | rule
    record = Trial("worse", goal).run([9.0, 8.0, 7.0], stopper(**rule))
    assert record.status == "completed"


def test_only_trials_that_began_at_the_same_epoch_and_completed_count() -> None:
    goal = objective("loss")
    run_others(goal, "before", [1.0, 2.0])
    Trial("promoted", goal).run([0.1] * 3, initial_epoch=3)
    Trial("ended", goal).run([1.0] * 3, stopper(patience=2))
    rule = {"min_trials": 3, "warmup_epochs": 1, "patience": 9}
    record = Trial("worse", goal).run([9.0, 8.0, 7.0], stopper(**rule))
    assert record.status == "completed"


# --- Gradients, in training ----------------------------------------------------------


def test_gradients_that_vanish_end_a_trial_that_no_longer_learns() -> None:
    layers = [keras.layers.Dense(8, "sigmoid") for _ in range(12)]
    head = keras.layers.Dense(2, "softmax")
    model = keras.Sequential([keras.Input((4,)), *layers, head])
    model.compile(keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy")
    x = RANDOM.normal(size=(96, 4)).astype("float32")
    y = np.arange(96) % 2
    watching = HopelessTrialStopper(patience=50)
    options = {"batch_size": 4, "epochs": 12, "callbacks": [watching], "verbose": 0}
    history = model.fit(x, y, **options)
    assert watching.finding.kind == "gradients"
    assert watching.finding.message.startswith("vanishing")
    assert len(history.history["loss"]) == watching.finding.epoch < 12
    assert set(history.history) == {"loss"}


def test_a_loss_that_is_not_finite_ends_training_at_once() -> None:
    watching = stopper()
    scripted([1.0, math.inf, 1.0])(callbacks=[watching], epochs=3)
    assert (watching.finding.kind, watching.finding.epoch) == ("non-finite", 2)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"patience": 1}, ValueError),
        ({"min_improvement": 1.0}, ValueError),
        ({"gradients": 1}, TypeError),
        ({"median": None}, TypeError),
        ({"min_trials": 0}, ValueError),
        ({"warmup_epochs": -1}, ValueError),
    ],
)
def test_an_argument_out_of_range_is_named(
    options: dict[str, object], error: type[Exception]
) -> None:
    (name,) = options
    with pytest.raises(error, match=rf"HopelessTrialStopper: `{name}` must be"):
        HopelessTrialStopper(**options)


def test_findings_and_time_saved_are_summed_over_the_search() -> None:
    for name in "01":
        Trial(name).run([1.0] * 10, stopper(patience=4))
    records = project_records(Path("project"))
    trials = tuple(replace(one, executions=(one,)) for one in records)
    report = SearchReport(trials, "loss", maximize=False)
    assert report.seconds_saved == sum(one.seconds_saved for one in records) > 0
    assert str(report).count("no learning") == 2
    assert "2 stopped and 0 failed early" in str(report)
