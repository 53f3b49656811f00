"""Seeds that do not give two layers the same kernel."""

import random
import zlib
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine import current_place


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
