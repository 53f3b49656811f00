"""Initializers that keep the variance of a network, for every kind of layer."""

from keras_deeptools.initializers._lsuv import lsuv
from keras_deeptools.initializers._rebalance import rebalance
from keras_deeptools.initializers._scaling_report import ScaledLayer, ScalingReport

__all__ = ["ScaledLayer", "ScalingReport", "lsuv", "rebalance"]
