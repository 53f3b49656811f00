"""Initializers that preserve variance through a network, for every kind of layer."""

from keras_deeptools import _keras_import  # noqa: F401
from keras_deeptools.initializers._delta_orthogonal import DeltaOrthogonal
from keras_deeptools.initializers._dirac import Dirac
from keras_deeptools.initializers._fan_scaling import FanScaling
from keras_deeptools.initializers._gain import gain
from keras_deeptools.initializers._icnr import ICNR
from keras_deeptools.initializers._identity_rnn import IdentityRNN
from keras_deeptools.initializers._initialize import (
    Initialization,
    InitializedWeights,
    initialize,
)
from keras_deeptools.initializers._initializer_for import fans, initializer_for
from keras_deeptools.initializers._lsuv import lsuv
from keras_deeptools.initializers._patch_whitening import patch_whitening
from keras_deeptools.initializers._rebalance import rebalance
from keras_deeptools.initializers._scaled_orthogonal import ScaledOrthogonal
from keras_deeptools.initializers._scaling_report import ScaledLayer, ScalingReport
from keras_deeptools.initializers._zero import ZerO

__all__ = [
    "DeltaOrthogonal",
    "Dirac",
    "FanScaling",
    "ICNR",
    "IdentityRNN",
    "Initialization",
    "InitializedWeights",
    "ScaledLayer",
    "ScaledOrthogonal",
    "ScalingReport",
    "ZerO",
    "fans",
    "gain",
    "initialize",
    "initializer_for",
    "lsuv",
    "patch_whitening",
    "rebalance",
]
