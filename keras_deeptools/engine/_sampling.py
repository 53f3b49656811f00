"""Random numbers and compiled functions of the active backend."""

import importlib
from types import ModuleType

import keras

from keras_deeptools.engine._tensors import tensors


def _active() -> ModuleType:
    name = tensors.__name__.rpartition("_")[2]
    return importlib.import_module(f"keras_deeptools.engine._sampling_{name}")


sampling = _active()


def random_functions() -> ModuleType:
    """The module whose `dropout`, `uniform`, ... every Keras layer draws from."""
    backend = keras.backend.backend()
    return importlib.import_module(f"keras.src.backend.{backend}.random")
