"""Transfer learning: freezing and unfreezing what a model has learned elsewhere."""

from keras_deeptools.transfer._freezing import freeze, frozen, unfreeze
from keras_deeptools.transfer._inference_mode import InferenceMode

__all__ = [
    "InferenceMode",
    "freeze",
    "frozen",
    "unfreeze",
]
