"""Random draws of a pass in which the data are repeated once for each mask."""

import contextlib
import hashlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_deeptools.engine._backends.active import programs
from keras_deeptools.engine._keras_private.random import random_module
from keras_deeptools.engine._patching import replaced_in_thread

FEWEST_BITS = 0.01
"""Dropout rates between this and 1 minus this use 16 random bits (error < 1e-5)."""


def seed_words(seed: int, position: tuple[int, ...], num_draws: int) -> np.ndarray:
    """Seeds of all draws of a pass, from the user's seed and where the pass stands.

    Args:
        seed: Int, the user's seed.
        position: Ints that tell this pass from every other.
        num_draws: Int, number of draws in the pass.

    Returns:
        Uint32 array `(num_draws, 2)`.
    """
    text = ",".join(str(number) for number in (seed, *position))
    digest = hashlib.shake_128(text.encode()).digest(8 * max(num_draws, 1))
    return np.frombuffer(digest, dtype=np.uint32).reshape(-1, 2)


class RandomFunctions:
    """The backend's random functions, of numbers in [0, 1) and from N(0, 1)."""

    def unit_uniform(self, shape: tuple[int, ...]) -> Any:
        """Numbers in [0, 1)."""
        return programs.unseeded("uniform", shape)

    def unit_normal(self, shape: tuple[int, ...]) -> Any:
        """Numbers from N(0, 1)."""
        return programs.unseeded("normal", shape)

    def kept(self, shape: tuple[int, ...], rate: float) -> Any:
        """Bools of this shape, false with probability `rate`."""
        return self.unit_uniform(shape) >= rate

    def dropout(
        self, inputs: Any, rate: float, noise_shape: Any = None, seed: Any = None
    ) -> Any:
        """In place of the backend's `dropout`."""
        if rate == 0:
            return inputs
        if rate == 1:
            return ops.zeros_like(inputs)
        shape = tuple(inputs.shape)
        if noise_shape is not None:
            given = zip(shape, noise_shape, strict=True)
            shape = tuple(own if size is None else size for own, size in given)
        return programs.masked(inputs, self.kept(shape, rate), 1 / (1 - rate))

    def uniform(
        self,
        shape: Any,
        minval: float = 0.0,
        maxval: float = 1.0,
        dtype: Any = None,
        seed: Any = None,
    ) -> Any:
        """In place of the backend's `uniform`."""
        drawn = self.unit_uniform(tuple(shape)) * (maxval - minval) + minval
        return ops.cast(drawn, dtype or keras.config.floatx())

    def normal(
        self,
        shape: Any,
        mean: float = 0.0,
        stddev: float = 1.0,
        dtype: Any = None,
        seed: Any = None,
    ) -> Any:
        """In place of the backend's `normal`."""
        drawn = self.unit_normal(tuple(shape)) * stddev + mean
        return ops.cast(drawn, dtype or keras.config.floatx())


class Draws(RandomFunctions):
    """Stands in for the backend's random functions during one pass.

    The pass contains the first input of the data once for each sample (that is, for
    each set of masks), then the second input, and so on. The samples come in groups,
    each with its own seeds. Numbers for a group are drawn as `(inputs, samples, ...)`,
    always for a block of `block` inputs of which the pass may cover a part, so that an
    input gets the same numbers however the data are cut.

    Args:
        seeds: For each group of samples the seeds of all draws, made by
            `programs.seed_tensor`.
        rows: Int, number of inputs in the pass.
        samples: Int, samples in a group.
        coherent: Bool, whether all inputs share the numbers.
        block: Int, number of inputs for which numbers are drawn, or None if the pass
            starts at the first input of its block.
        offset: Position in the block at which the pass starts.
        rowless: Indices of the draws that have no axis of inputs (such as those for
            weights); None to find them by their size.

    Attributes:
        count: Int, draws made so far.
        rowless: Those found out.
    """

    def __init__(
        self,
        seeds: Any,
        rows: int,
        samples: int,
        coherent: bool,
        block: int,
        offset: Any = None,
        rowless: tuple[int, ...] | None = None,
    ) -> None:
        self._seeds = seeds
        self._rows = rows
        self._samples = samples
        self._coherent = coherent
        self._block = block
        self._offset = offset
        self.count = 0
        self.rowless = rowless or ()
        self._is_first_look = rowless is None

    def kept(self, shape: tuple[int, ...], rate: float) -> Any:
        """Bools of this shape, false with probability `rate`."""
        if FEWEST_BITS <= rate <= 1 - FEWEST_BITS:
            return self._drawn(programs.bits, shape) >= round(rate * 2**16) - 2**15
        return super().kept(shape, rate)

    def unit_uniform(self, shape: tuple[int, ...]) -> Any:
        """Numbers in [0, 1)."""
        return self._drawn(programs.uniform, shape)

    def unit_normal(self, shape: tuple[int, ...]) -> Any:
        """Numbers from N(0, 1)."""
        return self._drawn(programs.normal, shape, programs.NORMAL_BY_PREFIX)

    def seeded(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Another random function of the backend, with a seed of this pass."""

        def call(*args: Any, seed: Any = None, **kwargs: Any) -> Any:
            return function(*args, seed=_FixedSeed(self._next_seeds()[0]), **kwargs)

        return call

    def _next_seeds(self) -> list[Any]:
        """For each group of samples the seed of the next draw."""
        self.count += 1
        return [group[self.count - 1] for group in self._seeds]

    def _drawn(
        self,
        draw: Callable[..., Any],
        shape: tuple[int, ...],
        by_prefix: bool = True,
    ) -> Any:
        """Numbers of this shape, or of one that broadcasts to the pass."""
        seeds = self._next_seeds()
        shape = tuple(int(size) for size in shape)
        copies = self._rows * self._samples * len(seeds)
        lead = shape[0] if shape else 1
        if self._is_first_look and lead % copies and lead > 1:
            self.rowless += (self.count - 1,)
        if self.count - 1 in self.rowless:
            return ops.reshape(draw(seeds[0], 1, math.prod(shape)), shape)
        # A mask that the whole batch shares is one for each sample here.
        shared = self._coherent or (lead == 1 and copies > 1)
        lead = max(lead, copies)
        inner = (lead // copies, *shape[1:])
        columns = self._samples * math.prod(inner)
        groups = [self._group(draw, s, columns, shared, by_prefix) for s in seeds]
        drawn = groups[0] if len(groups) == 1 else ops.concatenate(groups, axis=1)
        return ops.reshape(drawn, (lead, *shape[1:]))

    def _group(
        self,
        draw: Callable[..., Any],
        seed: Any,
        columns: int,
        shared: bool,
        by_prefix: bool,
    ) -> Any:
        """Numbers `(rows, columns)` for one group of samples."""
        rows = self._rows
        if shared:
            return ops.broadcast_to(draw(seed, 1, columns), (rows, columns))
        if self._offset is not None:
            return programs.rows_from(
                draw(seed, self._block, columns), self._offset, rows
            )
        return draw(seed, rows if by_prefix else self._block, columns)[:rows]


class _FixedSeed(keras.random.SeedGenerator):
    """A seed generator that gives one seed and has no state."""

    def __init__(self, words: Any) -> None:
        self._words = words
        self._initial_seed = 0

    def next(self, ordered: bool = True) -> Any:
        return ops.convert_to_tensor(self._words)


@contextlib.contextmanager
def exportable_draws() -> Iterator[None]:
    """Lets layers in the block draw in a way that survives being exported.

    On torch, Keras draws from a generator that `torch.export` cannot trace; while
    exporting, and only then, draws come from torch's own stream instead. Elsewhere
    this does nothing.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._dropout.mask_sampling import exportable_draws
    >>> with exportable_draws():
    ...     keras.random.uniform((2, 3), seed=0).shape[1]
    3
    """
    if not programs.is_exporting():
        yield
        return
    unseeded = RandomFunctions()
    with (
        drawing_from("dropout", lambda own: unseeded.dropout),
        drawing_from("uniform", lambda own: unseeded.uniform),
        drawing_from("normal", lambda own: unseeded.normal),
    ):
        yield


def drawing_from(
    name: str, make: Callable[[Callable], Callable]
) -> contextlib.AbstractContextManager:
    """A block in which layers draw from another function, in this thread alone.

    Args:
        name: Str, the function of the backend that they draw from.
        make: Function of that function, which returns what to draw from.
    """
    return replaced_in_thread(random_module(), name, make)
