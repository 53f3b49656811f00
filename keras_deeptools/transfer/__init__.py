"""Transfer learning: freezing and unfreezing what a model has learned elsewhere."""

from keras_deeptools.transfer._backbone import backbone
from keras_deeptools.transfer._check_pixels import check_pixels
from keras_deeptools.transfer._classifier import classifier
from keras_deeptools.transfer._discriminative_learning_rates import (
    DiscriminativeLearningRates,
)
from keras_deeptools.transfer._freeze_to import freeze_to
from keras_deeptools.transfer._freezing import freeze, frozen, unfreeze
from keras_deeptools.transfer._gradual_unfreezing import GradualUnfreezing
from keras_deeptools.transfer._inference_mode import InferenceMode
from keras_deeptools.transfer._layer_group import LayerGroup, LayerGroups
from keras_deeptools.transfer._layer_groups import layer_groups
from keras_deeptools.transfer._unfreezing_phase import UnfreezingPhase

__all__ = [
    "DiscriminativeLearningRates",
    "GradualUnfreezing",
    "InferenceMode",
    "LayerGroup",
    "LayerGroups",
    "UnfreezingPhase",
    "backbone",
    "check_pixels",
    "classifier",
    "freeze",
    "freeze_to",
    "frozen",
    "layer_groups",
    "unfreeze",
]
