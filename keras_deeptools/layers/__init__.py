"""Layers that Keras lacks, or that are easy to get wrong with Keras' own layers."""

from keras_deeptools import _keras_import  # noqa: F401
from keras_deeptools.layers._drop_block import DropBlock2D
from keras_deeptools.layers._layer_scale import LayerScale
from keras_deeptools.layers._maxout import Maxout
from keras_deeptools.layers._mc_dropout import (
    MCAlphaDropout,
    MCDropout,
    MCGaussianDropout,
    MCSpatialDropout1D,
    MCSpatialDropout2D,
    MCSpatialDropout3D,
)
from keras_deeptools.layers._norm_free_residual import (
    NormFreeResidual,
    fixup_initializer,
    norm_free_block,
)
from keras_deeptools.layers._scalar_bias import ScalarBias
from keras_deeptools.layers._scaled_activation import ScaledActivation
from keras_deeptools.layers._scaled_ws_conv2d import ScaledWSConv2D
from keras_deeptools.layers._self_normalizing_conv import (
    SelfNormalizingConv1D,
    SelfNormalizingConv2D,
    SelfNormalizingConv3D,
)
from keras_deeptools.layers._self_normalizing_dense import (
    SelfNormalizingDense,
    self_normalizing_mlp,
)
from keras_deeptools.layers._self_normalizing_residual import SelfNormalizingResidual
from keras_deeptools.layers._skip_init import SkipInit
from keras_deeptools.layers._stochastic_depth import (
    StochasticDepth,
    linear_stochastic_depth,
)
from keras_deeptools.layers._update_batch_norm import update_batch_norm
from keras_deeptools.layers._weight_normalization import (
    WeightNormalization,
    initialize_weight_normalization,
)

__all__ = [
    "DropBlock2D",
    "LayerScale",
    "MCAlphaDropout",
    "MCDropout",
    "MCGaussianDropout",
    "MCSpatialDropout1D",
    "MCSpatialDropout2D",
    "MCSpatialDropout3D",
    "Maxout",
    "NormFreeResidual",
    "ScalarBias",
    "ScaledActivation",
    "ScaledWSConv2D",
    "SelfNormalizingConv1D",
    "SelfNormalizingConv2D",
    "SelfNormalizingConv3D",
    "SelfNormalizingDense",
    "SelfNormalizingResidual",
    "SkipInit",
    "StochasticDepth",
    "WeightNormalization",
    "fixup_initializer",
    "initialize_weight_normalization",
    "linear_stochastic_depth",
    "norm_free_block",
    "self_normalizing_mlp",
    "update_batch_norm",
]
