"""Models that were trained before, made ready for another task."""

from keras_deeptools.transfer._backbone import backbone
from keras_deeptools.transfer._check_pixels import check_pixels
from keras_deeptools.transfer._classifier import classifier
from keras_deeptools.transfer._layer_group import LayerGroup, LayerGroups
from keras_deeptools.transfer._layer_groups import layer_groups

__all__ = [
    "LayerGroup",
    "LayerGroups",
    "backbone",
    "check_pixels",
    "classifier",
    "layer_groups",
]
