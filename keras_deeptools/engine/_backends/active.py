"""What differs between backends, for the active one."""

import importlib
from types import ModuleType

import keras

from keras_deeptools.engine._backends.common import BACKENDS


def _of_the_backend(name: str) -> ModuleType:
    backend = keras.backend.backend()
    if backend not in BACKENDS:
        raise ImportError(
            "keras_deeptools: the Keras backend must be tensorflow, jax or torch. "
            f"Received: backend={backend!r}. Set KERAS_BACKEND before importing keras."
        )
    return importlib.import_module(f"keras_deeptools.engine._backends.{backend}.{name}")


tensors = _of_the_backend("tensors")
training = _of_the_backend("training")
programs = _of_the_backend("programs")
sampling = _of_the_backend("random")
feeding = _of_the_backend("feeding")
