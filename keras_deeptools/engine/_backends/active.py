"""What differs between backends, for the active one."""

import importlib
import importlib.util
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


def missing_for_keras_tuner() -> str | None:
    """The name of a package that is missing, without which every trial would fail.

    KerasTuner imports tensorboard in each trial on TensorFlow, which no longer brings
    it.

    Returns:
        Str or None.

    Example:

    >>> from keras_deeptools.engine._backends.active import missing_for_keras_tuner
    >>> missing_for_keras_tuner()
    """
    if keras.backend.backend() != "tensorflow":
        return None
    found = importlib.util.find_spec("tensorboard")
    return "tensorboard" if found is None else None
