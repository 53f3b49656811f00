"""How sure a model is: Monte Carlo dropout and what follows from it."""

from keras_deeptools.uncertainty._mc_predict import mc_predict
from keras_deeptools.uncertainty._mc_prediction import MCPrediction
from keras_deeptools.uncertainty._variance_parts import VarianceParts

__all__ = ["MCPrediction", "VarianceParts", "mc_predict"]
