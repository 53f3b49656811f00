"""Compiling and differentiating a whole pass, for the active backend."""

import importlib

from keras_deeptools.engine._tensors import tensors

programs = importlib.import_module(
    tensors.__name__.replace("engine._", "engine._programs_")
)
