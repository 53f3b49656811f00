"""Layers that Keras lacks, or whose recipes in Keras go wrong silently."""

from keras_deeptools.layers._self_normalizing_conv1d import SelfNormalizingConv1D
from keras_deeptools.layers._self_normalizing_conv2d import SelfNormalizingConv2D
from keras_deeptools.layers._self_normalizing_conv3d import SelfNormalizingConv3D
from keras_deeptools.layers._self_normalizing_dense import SelfNormalizingDense
from keras_deeptools.layers._self_normalizing_mlp import self_normalizing_mlp
from keras_deeptools.layers._self_normalizing_residual import SelfNormalizingResidual

__all__ = [
    "SelfNormalizingConv1D",
    "SelfNormalizingConv2D",
    "SelfNormalizingConv3D",
    "SelfNormalizingDense",
    "SelfNormalizingResidual",
    "self_normalizing_mlp",
]
