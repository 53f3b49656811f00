"""Training without labels, before the training with the few labels there are."""

from keras_deeptools.pretraining._layerwise import pretrain_layerwise
from keras_deeptools.pretraining._layerwise_pretraining import (
    LayerwisePretraining,
    PretrainedLayer,
)

__all__ = [
    "LayerwisePretraining",
    "PretrainedLayer",
    "pretrain_layerwise",
]
