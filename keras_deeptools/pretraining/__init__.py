"""Pretraining without labels, before training with the few labels that there are."""

from keras_deeptools import _keras_import  # noqa: F401
from keras_deeptools.pretraining._pretrain_contrastive import (
    NTXent,
    pretrain_contrastive,
)
from keras_deeptools.pretraining._pretrain_denoising import pretrain_denoising
from keras_deeptools.pretraining._pretrain_layerwise import (
    LayerwisePretraining,
    PretrainedLayer,
    pretrain_layerwise,
)
from keras_deeptools.pretraining._pretrain_masked import pretrain_masked
from keras_deeptools.pretraining._pretraining import Pretraining

__all__ = [
    "LayerwisePretraining",
    "NTXent",
    "PretrainedLayer",
    "Pretraining",
    "pretrain_contrastive",
    "pretrain_denoising",
    "pretrain_layerwise",
    "pretrain_masked",
]
