"""Schedules: values of a hyperparameter for every optimizer update."""

from keras_deeptools import _keras_import  # noqa: F401
from keras_deeptools.schedules._concatenation import Concatenation, concatenation
from keras_deeptools.schedules._constant import Constant, constant
from keras_deeptools.schedules._cosine_restarts import CosineRestarts, cosine_restarts
from keras_deeptools.schedules._exponential import Exponential, exponential
from keras_deeptools.schedules._exponential_ramp import (
    ExponentialRamp,
    exponential_ramp,
)
from keras_deeptools.schedules._flat_cosine import FlatCosine, flat_cosine
from keras_deeptools.schedules._inverse_time_power import (
    InverseTimePower,
    inverse_time_power,
)
from keras_deeptools.schedules._linear_ramp import LinearRamp, linear_ramp
from keras_deeptools.schedules._one_cycle import (
    OneCycle,
    OneCycleMomentum,
    one_cycle,
    one_cycle_momentum,
)
from keras_deeptools.schedules._piecewise_constant import (
    PiecewiseConstant,
    piecewise_constant,
)
from keras_deeptools.schedules._schedule import Schedule
from keras_deeptools.schedules._triangular import Triangular, triangular
from keras_deeptools.schedules._warmup import Scaled, Warmup, scaled, warmup
from keras_deeptools.schedules._warmup_stable_decay import (
    WarmupStableDecay,
    warmup_stable_decay,
)

__all__ = [
    "Concatenation",
    "Constant",
    "CosineRestarts",
    "Exponential",
    "ExponentialRamp",
    "FlatCosine",
    "InverseTimePower",
    "LinearRamp",
    "OneCycle",
    "OneCycleMomentum",
    "PiecewiseConstant",
    "Scaled",
    "Schedule",
    "Triangular",
    "Warmup",
    "WarmupStableDecay",
    "concatenation",
    "constant",
    "cosine_restarts",
    "exponential",
    "exponential_ramp",
    "flat_cosine",
    "inverse_time_power",
    "linear_ramp",
    "one_cycle",
    "one_cycle_momentum",
    "piecewise_constant",
    "scaled",
    "triangular",
    "warmup",
    "warmup_stable_decay",
]
