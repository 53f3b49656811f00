import inspect

import keras
import keras_tuner
import pytest

from keras_deeptools.statistics._metric_direction import LARGE, direction_of
from keras_deeptools.tuning import objective

pytestmark = pytest.mark.backend_free

# Neither: what they measure depends on what they are given.
OPEN = {"Mean", "MeanMetricWrapper", "Metric", "Sum", "Loss"}


def named_metrics() -> dict[str, keras.metrics.Metric]:
    """Metrics that need no argument, by the names that Keras gives them."""
    found = {}
    for cls in vars(keras.metrics).values():
        if inspect.isclass(cls) and cls.__name__ not in OPEN:
            required = [
                p
                for p in inspect.signature(cls.__init__).parameters.values()
                if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD
            ]
            if len(required) == 1:
                metric = cls()
                found[metric.name] = metric
    return found


@pytest.mark.parametrize(("name", "metric"), named_metrics().items())
def test_the_name_that_keras_gives_a_metric_tells_its_direction(
    name: str, metric: keras.metrics.Metric
) -> None:
    expected = "max" if type(metric).__name__ in LARGE else "min"
    assert objective(f"val_{name}").direction == expected


@pytest.mark.parametrize(
    ("name", "direction"),
    [
        ("loss", "min"),
        ("val_loss", "min"),
        ("val_head_loss", "min"),
        ("val_acc", "max"),
        ("val_head_accuracy", "max"),
        ("val_auc_1", "max"),
        ("val_mean_io_u_2", "max"),
        ("val_false_positives", "min"),
        ("val_brier_score", "min"),
        ("val_negative_log_likelihood", "min"),
        ("val_log_likelihood", "max"),
        ("val_expected_calibration_error", "min"),
        ("val_mse", "min"),
    ],
)
def test_the_longest_known_ending_tells_the_direction(
    name: str, direction: str
) -> None:
    made = objective(name)
    assert (made.name, made.direction) == (name, direction)


@pytest.mark.parametrize("name", ["val_profit", "gradient_norm", "lossy", "score"])
def test_a_name_that_does_not_tell_needs_a_direction(name: str) -> None:
    assert direction_of(name) is None
    with pytest.raises(ValueError, match="objective: `direction` must be .*'max'"):
        objective(name)
    assert objective(name, "max").direction == "max"


def test_keras_tuner_alone_would_search_for_the_worst() -> None:
    tuner = keras_tuner.RandomSearch(lambda hp: None, "val_f1_score", max_trials=1)
    assert tuner.oracle.objective.direction == "min"


@pytest.mark.parametrize("direction", ["up", 1])
def test_another_direction_is_refused(direction: object) -> None:
    with pytest.raises(ValueError, match="objective: `direction` must be"):
        objective("loss", direction)


def test_a_name_must_be_a_text() -> None:
    with pytest.raises(TypeError, match="objective: `name` must be"):
        objective(3)
