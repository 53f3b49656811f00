"""Transfer learning: freezing and unfreezing what a model has learned elsewhere."""

from keras_deeptools.transfer._backbone import backbone
from keras_deeptools.transfer._check_pixels import check_pixels
from keras_deeptools.transfer._classifier import classifier
from keras_deeptools.transfer._freezing import freeze, frozen, unfreeze
from keras_deeptools.transfer._inference_mode import InferenceMode
from keras_deeptools.transfer._layer_group import LayerGroup, LayerGroups
from keras_deeptools.transfer._layer_groups import layer_groups
from keras_deeptools.transfer._reuse import reuse

__all__ = [
    "InferenceMode",
    "LayerGroup",
    "LayerGroups",
    "backbone",
    "check_pixels",
    "classifier",
    "freeze",
    "frozen",
    "layer_groups",
    "reuse",
    "unfreeze",
]
