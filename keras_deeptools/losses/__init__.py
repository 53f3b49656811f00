"""Losses that Keras lacks."""

from keras_deeptools import _keras_import  # noqa: F401
from keras_deeptools.losses._smoothed_sparse_categorical_crossentropy import (
    SmoothedSparseCategoricalCrossentropy,
)

__all__ = ["SmoothedSparseCategoricalCrossentropy"]
