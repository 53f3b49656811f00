"""Random draws that a model takes along when it is exported."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from keras_deeptools.engine._attributes import replaced
from keras_deeptools.engine._sampling import random_functions, sampling


@contextlib.contextmanager
def exportable_draws() -> Iterator[None]:
    """Lets layers in the block draw in a way that survives being exported.

    On torch, Keras draws from a generator that `torch.export` cannot trace; while
    exporting, and only then, draws come from torch's own stream instead. Elsewhere
    this does nothing.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine import exportable_draws
    >>> with exportable_draws():
    ...     keras.random.uniform((2, 3), seed=0).shape[1]
    3
    """
    if not sampling.is_exporting():
        yield
        return
    module = random_functions()
    with (
        replaced(module, "dropout", _dropout),
        replaced(module, "uniform", _uniform),
        replaced(module, "normal", _normal),
    ):
        yield


def _dropout(
    inputs: Any, rate: float, noise_shape: Any = None, seed: Any = None
) -> Any:
    shape = tuple(inputs.shape)
    if noise_shape is not None:
        given = zip(shape, noise_shape, strict=True)
        shape = tuple(own if size is None else size for own, size in given)
    keep = sampling.unseeded_uniform(shape) >= rate
    return sampling.masked(inputs, keep, 1 / (1 - rate))


def _uniform(
    shape: Any,
    minval: float = 0.0,
    maxval: float = 1.0,
    dtype: Any = None,
    seed: Any = None,
) -> Any:
    drawn = sampling.unseeded_uniform(tuple(shape)) * (maxval - minval) + minval
    return ops.cast(drawn, dtype or keras.config.floatx())


def _normal(
    shape: Any,
    mean: float = 0.0,
    stddev: float = 1.0,
    dtype: Any = None,
    seed: Any = None,
) -> Any:
    drawn = sampling.unseeded_normal(tuple(shape)) * stddev + mean
    return ops.cast(drawn, dtype or keras.config.floatx())
