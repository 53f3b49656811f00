"""Layers that Keras lacks, or whose recipes in Keras go wrong silently."""

from keras_deeptools.layers._mc_alpha_dropout import MCAlphaDropout
from keras_deeptools.layers._mc_dropout import MCDropout
from keras_deeptools.layers._mc_gaussian_dropout import MCGaussianDropout
from keras_deeptools.layers._mc_spatial_dropout import (
    MCSpatialDropout1D,
    MCSpatialDropout2D,
    MCSpatialDropout3D,
)

__all__ = [
    "MCAlphaDropout",
    "MCDropout",
    "MCGaussianDropout",
    "MCSpatialDropout1D",
    "MCSpatialDropout2D",
    "MCSpatialDropout3D",
]
