"""Penalties on weights that Keras lacks."""

from keras_deeptools import _keras_import  # noqa: F401
from keras_deeptools.regularizers._soft_orthogonality import SoftOrthogonality

__all__ = ["SoftOrthogonality"]
