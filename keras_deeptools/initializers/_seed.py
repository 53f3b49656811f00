"""Seeds that draw anew for every kernel, and matrices drawn with them."""

import random
import zlib
from typing import Any

import numpy as np

from keras_deeptools._arguments import checked_seed
from keras_deeptools.engine._graph.layers import current_place


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


REMEDY = "Each call of one initializer draws anew, so an integer is enough."


def started(owner: str, seed: Any) -> Seed:
    """A `Seed`; without one, drawn from what `keras.utils.set_random_seed` sets.

    Args:
        owner: Str. Whom an error names.
        seed: None, an int >= 0 or a `Seed`, which is returned as it is.
    """
    if isinstance(seed, Seed):
        return seed
    given = checked_seed(owner, seed, REMEDY)
    return Seed(random.randrange(2**31) if given is None else given)


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
