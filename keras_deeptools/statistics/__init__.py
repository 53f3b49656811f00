"""Statistics of training, in plain numpy."""

from keras_deeptools import _keras_import  # noqa: F401
from keras_deeptools.statistics._decimated_rows import DecimatedRows
from keras_deeptools.statistics._exponential_smoothing import exponential_smoothing
from keras_deeptools.statistics._gradient_thresholds import GradientThresholds
from keras_deeptools.statistics._incoming_axes import incoming_axes
from keras_deeptools.statistics._range_test_curve import RangeTestCurve
from keras_deeptools.statistics._suggest_learning_rate import (
    LearningRateSuggestions,
    suggest_learning_rate,
)

__all__ = [
    "DecimatedRows",
    "GradientThresholds",
    "LearningRateSuggestions",
    "RangeTestCurve",
    "exponential_smoothing",
    "incoming_axes",
    "suggest_learning_rate",
]
