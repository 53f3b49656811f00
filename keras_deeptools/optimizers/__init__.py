"""Optimizers that Keras lacks; `compile` takes them like any other optimizer."""

from keras_deeptools import _keras_import  # noqa: F401
from keras_deeptools.optimizers._adabelief import AdaBelief
from keras_deeptools.optimizers._adan import Adan
from keras_deeptools.optimizers._ademamix import AdEMAMix
from keras_deeptools.optimizers._adopt import ADOPT
from keras_deeptools.optimizers._lookahead import Lookahead
from keras_deeptools.optimizers._prodigy import Prodigy
from keras_deeptools.optimizers._rectified_adam import RectifiedAdam
from keras_deeptools.optimizers._soap import SOAP

__all__ = [
    "ADOPT",
    "AdEMAMix",
    "AdaBelief",
    "Adan",
    "Lookahead",
    "Prodigy",
    "RectifiedAdam",
    "SOAP",
]
