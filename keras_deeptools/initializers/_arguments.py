"""Checks of what users pass to an initializer."""

import random
import warnings
import zlib
from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any

import keras
import numpy as np

from keras_deeptools import _arguments
from keras_deeptools._arguments import checked_count, checked_float, message
from keras_deeptools.engine._graph.layers import current_place


def checked_gain(owner: str, value: Any) -> float:
    """Return `value` as a finite float > 0, or raise."""
    remedy = "Give what `gain(activation)` returns."
    return checked_float(owner, "gain", value, above=0, remedy=remedy)


def checked_strides(owner: str, value: Any) -> int | tuple[int, ...]:
    """Return one int >= 1, or a tuple of them, or raise."""
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return tuple(checked_count(owner, "strides", item) for item in value)
    return checked_count(owner, "strides", value)


def checked_axes(owner: str, argument: str, value: Any) -> tuple[int, ...] | None:
    """Return a tuple of ints, or None where it is None, or raise."""
    if value is None:
        return None
    integers = isinstance(value, list | tuple) and all(
        isinstance(axis, Integral) and not isinstance(axis, bool) for axis in value
    )
    if not integers:
        raise TypeError(message(owner, argument, "None or a list of integers", value))
    return tuple(int(axis) for axis in value)


def checked_seed(owner: str, value: Any) -> int | None:
    """Return a seed: None or an int >= 0, or raise."""
    remedy = "Each call of one initializer draws anew, so an integer is enough."
    return _arguments.checked_seed(owner, value, remedy)


def check_scaling(
    owner: str, target: Any, tolerance: Any, max_iterations: Any, verbose: Any
) -> None:
    """Raises for an argument out of range.

    Args:
        owner: Str, name of the caller.
        target: Must be a number > 0.
        tolerance: Must be a number in (0, 1).
        max_iterations: Must be an int >= 1.
        verbose: Must be `"auto"`, 0 or 1.
    """
    if not _is_number(target) or not 0 < target < float("inf"):
        raise ValueError(
            f"{owner}: `target` must be a number > 0. Received: target={target!r}. "
            "Give the standard deviation that outputs shall have, such as 1."
        )
    if not _is_number(tolerance) or not 0 < tolerance < 1:
        raise ValueError(
            f"{owner}: `tolerance` must be in (0, 1). Received: "
            f"tolerance={tolerance!r}. Give a relative deviation, such as 0.05."
        )
    whole = isinstance(max_iterations, int) and not isinstance(max_iterations, bool)
    if not whole or max_iterations < 1:
        raise ValueError(
            f"{owner}: `max_iterations` must be an int >= 1. Received: "
            f"max_iterations={max_iterations!r}."
        )
    if verbose not in ("auto", 0, 1):
        raise ValueError(
            f'{owner}: `verbose` must be "auto", 0 or 1. Received: verbose={verbose!r}.'
        )


def check_kernels(owner: str, model: Any, walks: Sequence[Any]) -> None:
    """Raises for a model without kernels; warns where all of them are left alone.

    Args:
        owner: Str, name of the caller.
        model: `keras.Model`.
        walks: `ScaleWalk` of each of its networks.
    """
    if any(walk.kernels for walk in walks):
        return
    exempt = {name: why for walk in walks for name, why in walk.exempt.items()}
    if not exempt:
        raise ValueError(
            f"{owner}: `model` must have layers with kernels to scale. Received: "
            f"{model.name!r}, which has none. Give a model with Dense or convolutional "
            "layers."
        )
    named = ", ".join(f"{name} ({why})" for name, why in list(exempt.items())[:5])
    warnings.warn(
        f"{owner}: no layer of {model.name!r} was scaled; left alone were: {named}.",
        stacklevel=3,
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


class Seed(int):
    """An integer seed that counts how often it was drawn from.

    A plain integer gives the same numbers at every call, hence equal kernels in the
    layers that share an initializer. Every draw from a `Seed` is another one, and since
    it is what `get_config` holds, so are the draws of copies that Keras makes by
    `from_config(get_config())`, as MultiHeadAttention and `clone_model` do. Two
    initializers that were given the same integer apart can be told apart only where
    the layer has a name of its own, such as `query` and `key` in an attention layer.
    """

    count: int

    def __new__(cls, value: int) -> "Seed":
        """Keep the count of a `Seed`; start one for a plain integer."""
        if isinstance(value, Seed):
            return value
        seed = super().__new__(cls, value)
        seed.count = 0
        return seed

    def generator(self, place: str | None = None) -> np.random.Generator:
        """The random numbers of the next draw.

        Args:
            place: Str. Name of the layer they are for; None takes the one that is
                making a variable.
        """
        code = zlib.crc32((current_place() if place is None else place).encode())
        self.count += 1
        return np.random.default_rng([int(self), self.count, code])


def started(seed: int | None) -> Seed:
    """A `Seed`; without one, drawn from what `keras.utils.set_random_seed` sets."""
    return Seed(random.randrange(2**31) if seed is None else seed)


def as_tensor(values: np.ndarray, dtype: Any) -> Any:
    """The values in the type that a layer asks for, `keras.config.floatx()` if None."""
    return keras.ops.convert_to_tensor(values, dtype or keras.config.floatx())


def orthogonal(rows: int, columns: int, rng: np.random.Generator) -> np.ndarray:
    """A uniformly distributed matrix whose shorter side is orthonormal.

    Args:
        rows: Int >= 1.
        columns: Int >= 1.
        rng: `numpy.random.Generator`.

    Returns:
        Array `(rows, columns)`.
    """
    tall = rng.standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(tall)
    q = q * np.where(np.diag(r) < 0, -1.0, 1.0)
    return q if rows >= columns else q.T
