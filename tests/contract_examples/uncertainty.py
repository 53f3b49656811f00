"""A valid instance of every public class of `keras_deeptools.uncertainty`."""

from collections.abc import Callable

import numpy as np

from keras_deeptools import uncertainty

PROBABILITIES = [0.1, 0.3, 0.8, 0.9]
LABELS = [0, 1, 1, 1]

EXAMPLES: dict[str, Callable[[], object]] = {
    "keras_deeptools.uncertainty.BrierDecomposition": lambda: (
        uncertainty.brier_decomposition(PROBABILITIES, LABELS)
    ),
    "keras_deeptools.uncertainty.DropoutRateTuning": lambda: (
        uncertainty.DropoutRateTuning.from_rows([0.1, 0.2], [[-1.0], [-2.0]])
    ),
    "keras_deeptools.uncertainty.IntervalCoverage": lambda: (
        uncertainty.interval_coverage([0.0, 1.0], 1.0, [0.5, 3.0])
    ),
    "keras_deeptools.uncertainty.LastLayerPrediction": lambda: (
        uncertainty.LastLayerPrediction(*np.ones((4, 2, 3)))
    ),
    "keras_deeptools.uncertainty.ReliabilityDiagram": lambda: (
        uncertainty.reliability_diagram(PROBABILITIES, LABELS)
    ),
    "keras_deeptools.uncertainty.RiskCoverageCurve": lambda: (
        uncertainty.risk_coverage_curve(PROBABILITIES, LABELS)
    ),
    "keras_deeptools.uncertainty.TemperatureScaling": lambda: (
        uncertainty.TemperatureScaling(1.5)
    ),
}
