"""Of which numbers in the logs more is better: one answer for the whole package."""

import inspect

import keras
import pytest

from keras_deeptools.statistics._metric_direction import (
    LARGE,
    SMALL,
    checked_direction,
    direction_of,
)

pytestmark = pytest.mark.backend_free

# Neither: what they measure depends on what they are given.
OPEN = {"Mean", "MeanMetricWrapper", "Metric", "Sum", "Loss"}


def keras_classes() -> list[str]:
    """Names of every class of metrics and losses that Keras has."""
    rooms = (keras.metrics, keras.losses)
    found = {n for room in rooms for n, it in vars(room).items() if inspect.isclass(it)}
    return sorted(found - OPEN)


def test_the_direction_of_every_metric_and_loss_of_keras_is_known() -> None:
    wrong = [n for n in keras_classes() if (n in LARGE) == (n in SMALL)]
    assert not wrong


@pytest.mark.parametrize("prefix", ["", "val_", "val_head_"])
@pytest.mark.parametrize("suffix", ["", "_1", "_2_3"])
@pytest.mark.parametrize(("names", "direction"), [(LARGE, "max"), (SMALL, "min")])
def test_every_known_name_tells_its_direction_behind_outputs_and_before_numbers(
    names: tuple[str, ...], direction: str, prefix: str, suffix: str
) -> None:
    short = [name for name in names if name.islower()]
    wrong = [n for n in short if direction_of(f"{prefix}{n}{suffix}") != direction]
    assert not wrong


@pytest.mark.parametrize(
    ("name", "direction"),
    [
        ("val_loss_accuracy", "max"),
        ("val_accuracy_loss", "min"),
        ("val_precision_error", "min"),
        ("val_sparse_categorical_accuracy", "max"),
        ("mean_absolute_error", "min"),
        ("auc_3", "max"),
        ("val_top5_acc", "max"),
        ("val_acc1", "max"),
        ("val_recall_at_5", "max"),
        ("val_f1_macro", "max"),
        ("val_cross_entropy", "min"),
        ("brier", "min"),
        ("val_false_positives", "min"),
        ("val_sensitivity", "max"),
        ("val_log_likelihood", "max"),
        ("val_negative_log_likelihood", "min"),
        ("val_cosine_similarity", "max"),
    ],
)
def test_the_longest_known_ending_tells_the_direction(
    name: str, direction: str
) -> None:
    assert direction_of(name) == direction
    assert checked_direction("fine_tune", "auto", name) == direction


@pytest.mark.parametrize(
    "name",
    ["val_profit", "gradient_norm", "lossy", "score", "anomaly_score", "mine", "", "3"],
)
def test_a_name_that_does_not_tell_needs_a_mode(name: str) -> None:
    assert direction_of(name) is None
    with pytest.raises(ValueError, match="fine_tune: `mode` must be 'min' or 'max'"):
        checked_direction("fine_tune", "auto", name)
    assert checked_direction("fine_tune", "max", name) == "max"


def test_a_mode_that_is_given_counts_whatever_the_name_tells() -> None:
    assert checked_direction("fine_tune", "min", "val_accuracy") == "min"


def test_another_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="fine_tune: `mode` must be"):
        checked_direction("fine_tune", "up", "val_loss")
