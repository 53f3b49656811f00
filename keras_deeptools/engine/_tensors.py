"""The tensor operations that differ between backends, for the active one."""

import importlib
from types import ModuleType

import keras


def _active() -> ModuleType:
    name = keras.backend.backend()
    if name not in ("tensorflow", "jax", "torch"):
        raise ImportError(
            "keras_deeptools: the Keras backend must be tensorflow, jax or torch. "
            f"Received: backend={name!r}. Set KERAS_BACKEND before importing keras."
        )
    return importlib.import_module(f"keras_deeptools.engine._{name}")


tensors = _active()
