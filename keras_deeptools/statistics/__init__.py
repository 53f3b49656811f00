"""Statistics of training, in plain numpy."""

from keras_deeptools.statistics._decimation import DecimatedRows
from keras_deeptools.statistics._gradient_problems import (
    GradientProblem,
    GradientThresholds,
)
from keras_deeptools.statistics._incoming_axes import incoming_axes
from keras_deeptools.statistics._range_test import (
    LearningRateSuggestions,
    suggest_learning_rate,
)
from keras_deeptools.statistics._range_test_curve import RangeTestCurve
from keras_deeptools.statistics._smoothing import exponential_smoothing

__all__ = [
    "DecimatedRows",
    "GradientProblem",
    "GradientThresholds",
    "LearningRateSuggestions",
    "RangeTestCurve",
    "exponential_smoothing",
    "incoming_axes",
    "suggest_learning_rate",
]
