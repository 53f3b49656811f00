"""The axes of a kernel by their roles, and seeds that draw new numbers each time."""

import math
import random
import zlib
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import checked_seed
from keras_deeptools.engine._graph.layers import current_place

KINDS = ("dense", "conv", "conv_transpose", "depthwise_conv", "recurrent", "embedding")
"""Values of `kind`; "conv" is also the pointwise part of a separable convolution."""


@dataclass(frozen=True)
class Kernel:
    """The axes of a kernel by their roles.

    Args:
        shape: Tuple of ints.
        spatial: Tuple of ints. Axes of the window of a convolution.
        inputs: Tuple of ints. Axes that an output sums over, besides the window.
        outputs: Tuple of ints. Axes of output coordinates.
        blocks: Int >= 1. Number of equal parts of the output axes that do not share
            their outputs (gates) or their inputs (groups).
        inputs_shared_by: Float >= 1. Divisor of the fan-in, because a part of the
            window meets no input: the product of the strides of a transposed
            convolution.
        outputs_shared_by: Float >= 1. The same for the fan-out: the product of the
            strides of a convolution.
    """

    shape: tuple[int, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    spatial: tuple[int, ...] = ()
    blocks: int = 1
    inputs_shared_by: float = 1.0
    outputs_shared_by: float = 1.0

    @property
    def rows(self) -> int:
        """Number of weights that one output coordinate has."""
        return self._size(self.spatial) * self._size(self.inputs)

    @property
    def all_columns(self) -> int:
        """Number of output coordinates."""
        return self._size(self.outputs)

    @property
    def columns(self) -> int:
        """Number of output coordinates in one block."""
        return self.all_columns // self.blocks

    @property
    def fans(self) -> tuple[float, float]:
        """How many inputs one output sums over, and how many outputs use one input."""
        backward = self._size(self.spatial) * self.columns
        return self.rows / self.inputs_shared_by, backward / self.outputs_shared_by

    def _size(self, axes: tuple[int, ...]) -> int:
        return math.prod(self.shape[axis] for axis in axes)


def kernel_of(
    shape: tuple[int, ...],
    kind: str | None = None,
    *,
    groups: int = 1,
    strides: int | tuple[int, ...] = 1,
    input_axes: tuple[int, ...] | None = None,
    output_axes: tuple[int, ...] | None = None,
) -> Kernel:
    """Sort the axes of a kernel by their roles.

    Args:
        shape: Tuple of ints.
        kind: Str of `KINDS`, or None to follow Keras' convention for the rank.
        groups: Int >= 1. Groups of a convolution, gates of a recurrent cell.
        strides: Int >= 1 or a tuple of them. Of a convolution.
        input_axes: Tuple of ints. Contracted axes of an EinsumDense kernel; with
            `output_axes` in place of `kind`.
        output_axes: Tuple of ints. Axes of an EinsumDense kernel that only the output
            has.

    Returns:
        `Kernel`.
    """
    rank = len(shape)
    if input_axes is not None and output_axes is not None:
        return Kernel(
            shape, _wrapped(input_axes, rank), _wrapped(output_axes, rank), (), groups
        )
    kind = kind or ("dense" if rank <= 2 else "conv")
    if kind == "embedding":
        return Kernel(shape, (), (rank - 1,), (), groups)
    if rank < 2:
        return Kernel(shape, (), tuple(range(rank)), (), groups)
    spatial = tuple(range(rank - 2)) if "conv" in kind else ()
    before = tuple(range(rank - 1)) if not spatial else (rank - 2,)
    window = strides if isinstance(strides, tuple) else (strides,) * len(spatial)
    area = float(math.prod(window)) if spatial else 1.0
    if kind == "conv_transpose":
        return Kernel(
            shape, (rank - 1,), (rank - 2,), spatial, groups, inputs_shared_by=area
        )
    if kind == "depthwise_conv":
        return Kernel(shape, (), (rank - 1,), spatial, groups, outputs_shared_by=area)
    return Kernel(shape, before, (rank - 1,), spatial, groups, outputs_shared_by=area)


def _wrapped(axes: tuple[int, ...], rank: int) -> tuple[int, ...]:
    return tuple(axis % rank for axis in axes)


def as_tensor(values: np.ndarray, dtype: Any) -> Any:
    """The values in the dtype of a layer, `keras.config.floatx()` if None."""
    return keras.ops.convert_to_tensor(values, dtype or keras.config.floatx())


class Seed(int):
    """An integer seed that counts how often numbers were drawn with it.

    A plain integer gives the same numbers at every call, hence equal kernels in layers
    that share an initializer. Every draw from a `Seed` gives other numbers. The `Seed`
    itself is in `get_config`, so the same is true for copies that Keras makes with
    `from_config(get_config())`, as MultiHeadAttention and `clone_model` do. Two
    initializers that were given the same integer separately draw different numbers only
    if their layers have different names, such as `query` and `key` in an attention
    layer.
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
            place: Str. Name of the layer that gets the numbers; None takes the layer
                that is making a variable.
        """
        code = zlib.crc32((current_place() if place is None else place).encode())
        self.count += 1
        return np.random.default_rng([int(self), self.count, code])


REMEDY = "Each call of one initializer draws anew, so an integer is enough."


def started(owner: str, seed: Any) -> Seed:
    """A `Seed`; None draws one from the state that `keras.utils.set_random_seed` sets.

    Args:
        owner: Str. Name of the caller, for errors.
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
