"""Measures of uncertainty: calibration, selective prediction, Monte Carlo dropout."""

from keras_deeptools import _keras_import  # noqa: F401
from keras_deeptools.uncertainty._brier_decomposition import (
    BrierDecomposition,
    brier_decomposition,
    brier_score,
)
from keras_deeptools.uncertainty._expected_calibration_error import (
    expected_calibration_error,
)
from keras_deeptools.uncertainty._interval_coverage import (
    IntervalCoverage,
    interval_coverage,
)
from keras_deeptools.uncertainty._last_layer_predict import (
    LastLayerPrediction,
    last_layer_predict,
)
from keras_deeptools.uncertainty._mc_predict import mc_predict
from keras_deeptools.uncertainty._mc_prediction import MCPrediction, VarianceParts
from keras_deeptools.uncertainty._negative_log_likelihood import (
    gaussian_negative_log_likelihood,
    negative_log_likelihood,
)
from keras_deeptools.uncertainty._reliability_diagram import (
    ReliabilityDiagram,
    reliability_diagram,
)
from keras_deeptools.uncertainty._risk_coverage_curve import (
    RiskCoverageCurve,
    risk_coverage_curve,
)
from keras_deeptools.uncertainty._temperature_scaling import TemperatureScaling
from keras_deeptools.uncertainty._tune_dropout_rate import (
    DropoutRateTuning,
    tune_dropout_rate,
)

__all__ = [
    "BrierDecomposition",
    "DropoutRateTuning",
    "IntervalCoverage",
    "LastLayerPrediction",
    "MCPrediction",
    "ReliabilityDiagram",
    "RiskCoverageCurve",
    "TemperatureScaling",
    "VarianceParts",
    "brier_decomposition",
    "brier_score",
    "expected_calibration_error",
    "gaussian_negative_log_likelihood",
    "interval_coverage",
    "last_layer_predict",
    "mc_predict",
    "negative_log_likelihood",
    "reliability_diagram",
    "risk_coverage_curve",
    "tune_dropout_rate",
]
