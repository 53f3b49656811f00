"""Transfer learning: freezing and unfreezing what a model has learned elsewhere."""

from keras_deeptools.transfer._backbone import backbone
from keras_deeptools.transfer._cache_features import cache_features, caching_obstacle
from keras_deeptools.transfer._cached_features import CachedFeatures
from keras_deeptools.transfer._check_pixels import check_pixels
from keras_deeptools.transfer._classifier import classifier
from keras_deeptools.transfer._depth_probe import DepthProbe
from keras_deeptools.transfer._discriminative_learning_rates import (
    DiscriminativeLearningRates,
)
from keras_deeptools.transfer._fine_tune import fine_tune
from keras_deeptools.transfer._fine_tuning import FineTuning, FineTuningPhase
from keras_deeptools.transfer._freeze_to import freeze_to
from keras_deeptools.transfer._freezing import freeze, frozen, unfreeze
from keras_deeptools.transfer._gradual_unfreezing import GradualUnfreezing
from keras_deeptools.transfer._inference_mode import InferenceMode
from keras_deeptools.transfer._layer_group import LayerGroup, LayerGroups
from keras_deeptools.transfer._layer_groups import layer_groups
from keras_deeptools.transfer._probe_depth import probe_depth
from keras_deeptools.transfer._reuse import reuse
from keras_deeptools.transfer._unfreezing_phase import UnfreezingPhase

__all__ = [
    "CachedFeatures",
    "DepthProbe",
    "DiscriminativeLearningRates",
    "FineTuning",
    "FineTuningPhase",
    "GradualUnfreezing",
    "InferenceMode",
    "LayerGroup",
    "LayerGroups",
    "UnfreezingPhase",
    "backbone",
    "cache_features",
    "caching_obstacle",
    "check_pixels",
    "classifier",
    "fine_tune",
    "freeze",
    "freeze_to",
    "frozen",
    "layer_groups",
    "probe_depth",
    "reuse",
    "unfreeze",
]
