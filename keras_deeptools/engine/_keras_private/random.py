"""Where Keras keeps seeds, and draws random numbers."""

from types import ModuleType
from typing import Any

import keras

from keras_deeptools.engine._keras_private.seam import Seam, has_private, private

GENERATOR = "global_seed_generator"
"""The name of a global attribute; a constant of `random.seed_generator` from 3.13."""

SEED = ("utils.rng_utils", "GLOBAL_RANDOM_SEED")
DRAWING = (
    "beta",
    "binomial",
    "categorical",
    "dropout",
    "gamma",
    "normal",
    "randint",
    "shuffle",
    "truncated_normal",
    "uniform",
)
"""The functions that layers draw from, of the backend's module `random`."""


def global_generator() -> Any:
    """The generator that unseeded operations draw from, None before the first."""
    return _state().get_global_attribute(GENERATOR)


def set_global_generator(generator: Any) -> None:
    """Sets what `global_generator` returns."""
    _state().set_global_attribute(GENERATOR, generator)


def global_seed() -> int | None:
    """What `keras.utils.set_random_seed` was called with last, or None."""
    return _state().get_global_attribute(private(*SEED))


def set_global_seed(seed: int | None) -> None:
    """Sets what `global_seed` returns, and nothing else."""
    _state().set_global_attribute(private(*SEED), seed)


def random_module() -> ModuleType:
    """The module whose `dropout`, `uniform`, ... every Keras layer draws from."""
    return private(f"backend.{keras.backend.backend()}.random")


def is_dropping_cell(layer: Any) -> bool:
    """Whether a layer is a recurrent cell that drops; their base is not public."""
    return isinstance(layer, private("layers.rnn.dropout_rnn_cell", "DropoutRNNCell"))


def _state() -> Any:
    return private("backend.common.global_state")


SEAMS = (
    Seam(
        "seed_generator.global_seed_generator, global_state",
        "taking back what a trial draws from Keras' global generator",
        "range tests change what is trained afterwards",
        lambda: (
            private("random.seed_generator", "global_seed_generator")()
            is global_generator()
            is not None
        ),
    ),
    Seam(
        "rng_utils.GLOBAL_RANDOM_SEED",
        "seeding a block, and putting the seed back",
        "a seeded search changes the seed of the session",
        has_private(*SEED),
    ),
    Seam(
        "backend.random",
        "drawing many masks in one pass",
        "Monte Carlo dropout does not work",
        lambda: all(callable(getattr(random_module(), name)) for name in DRAWING),
    ),
    Seam(
        "dropout_rnn_cell.DropoutRNNCell",
        "finding dropout in recurrent layers",
        "Monte Carlo dropout leaves recurrent layers as they are",
        lambda: is_dropping_cell(keras.layers.LSTMCell(1, name="seam_check")),
    ),
)
