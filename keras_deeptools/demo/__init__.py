"""The demonstration behind `python -m keras_deeptools demo`."""

from keras_deeptools import _keras_import  # noqa: F401
from keras_deeptools.demo._run_demo import run_demo

__all__ = ["run_demo"]
