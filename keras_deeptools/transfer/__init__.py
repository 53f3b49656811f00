"""Transfer learning: freezing and unfreezing what a model has learned elsewhere."""

from keras_deeptools.transfer._backbone import backbone
from keras_deeptools.transfer._cached_features import CachedFeatures
from keras_deeptools.transfer._check_pixels import check_pixels
from keras_deeptools.transfer._classifier import classifier
from keras_deeptools.transfer._depth_probe import DepthProbe
from keras_deeptools.transfer._feature_cache import cache_features, caching_obstacle
from keras_deeptools.transfer._freezing import freeze, frozen, unfreeze
from keras_deeptools.transfer._inference_mode import InferenceMode
from keras_deeptools.transfer._layer_group import LayerGroup, LayerGroups
from keras_deeptools.transfer._layer_groups import layer_groups
from keras_deeptools.transfer._probe_depth import probe_depth

__all__ = [
    "CachedFeatures",
    "DepthProbe",
    "InferenceMode",
    "LayerGroup",
    "LayerGroups",
    "backbone",
    "cache_features",
    "caching_obstacle",
    "check_pixels",
    "classifier",
    "freeze",
    "frozen",
    "layer_groups",
    "probe_depth",
    "unfreeze",
]
