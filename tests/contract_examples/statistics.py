"""A valid instance of every public class of `keras_deeptools.statistics`."""

from collections.abc import Callable

from keras_deeptools import statistics

EXAMPLES: dict[str, Callable[[], object]] = {
    "keras_deeptools.statistics.DecimatedRows": lambda: statistics.DecimatedRows(3, 8),
    "keras_deeptools.statistics.GradientThresholds": statistics.GradientThresholds,
    "keras_deeptools.statistics.LearningRateSuggestions": lambda: (
        statistics.suggest_learning_rate(
            *statistics.RangeTestCurve(0.01).sample(0.0, seed=0)
        )
    ),
    "keras_deeptools.statistics.RangeTestCurve": lambda: statistics.RangeTestCurve(
        0.01
    ),
}
