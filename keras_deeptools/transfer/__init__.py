"""Transfer learning: freezing and unfreezing what a model has learned elsewhere."""

from keras_deeptools import _keras_import  # noqa: F401
from keras_deeptools.transfer._backbones.backbone import backbone
from keras_deeptools.transfer._backbones.check_pixels import check_pixels
from keras_deeptools.transfer._backbones.classifier import classifier
from keras_deeptools.transfer._backbones.reuse_layers import reuse_layers
from keras_deeptools.transfer._features.cache_features import (
    cache_features,
    caching_obstacle,
)
from keras_deeptools.transfer._features.cached_features import CachedFeatures
from keras_deeptools.transfer._fine_tune.fine_tune import fine_tune
from keras_deeptools.transfer._fine_tune.plan import FineTuning, FineTuningPhase
from keras_deeptools.transfer._freezing.freeze import freeze, frozen, unfreeze
from keras_deeptools.transfer._freezing.freeze_to import freeze_to
from keras_deeptools.transfer._freezing.gradual_unfreezing import GradualUnfreezing
from keras_deeptools.transfer._freezing.inference_mode import InferenceMode
from keras_deeptools.transfer._freezing.unfreezing_phase import UnfreezingPhase
from keras_deeptools.transfer._interpolate_weights import (
    greedy_soup,
    interpolate_weights,
    uniform_soup,
)
from keras_deeptools.transfer._layer_groups.groups import (
    LayerGroup,
    LayerGroups,
    layer_groups,
)
from keras_deeptools.transfer._layer_groups.probe_depth import DepthProbe, probe_depth
from keras_deeptools.transfer._rates.discriminative_learning_rates import (
    DiscriminativeLearningRates,
)

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
    "greedy_soup",
    "interpolate_weights",
    "layer_groups",
    "probe_depth",
    "reuse_layers",
    "unfreeze",
    "uniform_soup",
]
