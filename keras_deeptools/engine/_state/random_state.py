"""The random states that training draws from."""

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_deeptools.engine._backends import foreign
from keras_deeptools.engine._backends.common import on_host
from keras_deeptools.engine._keras_private.random import (
    global_generator,
    global_seed,
    set_global_generator,
    set_global_seed,
)


class RandomState:
    """A copy of every global random state; `restore` puts it back.

    It covers Python, numpy, the seed generator that Keras uses for unseeded operations,
    and TensorFlow and torch if they have been imported (`tf.data` and `DataLoader` work
    with every backend). Seed generators of layers are variables of the model.

    Args:
        *generators: Further objects with `get_state` and `set_state`.
    """

    def __init__(self, *generators: Any) -> None:
        self._python = random.getstate()
        self._numpy = np.random.get_state()
        self._keras = global_generator()
        self._seed = None if self._keras is None else on_host(self._keras.state)
        self._generators = [(each, each.get_state()) for each in generators]
        self._restore_foreign = foreign.kept_random_states()

    def restore(self) -> None:
        """Restores everything."""
        random.setstate(self._python)
        np.random.set_state(self._numpy)
        set_global_generator(self._keras)
        if self._keras is not None:
            self._keras.state.assign(self._seed)
        for generator, state in self._generators:
            generator.set_state(state)
        self._restore_foreign()


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seeds all random states of training, and restores them at the end of the block.

    It works like `keras.utils.set_random_seed`, but for a block, and does not import
    backends that have not been imported.

    Args:
        seed: Int in [0, 2**32).

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.engine._state.random_state import seeded
    >>> keras.utils.set_random_seed(1)
    >>> expected = np.random.uniform()
    >>> keras.utils.set_random_seed(1)
    >>> with seeded(7):
    ...     other = np.random.uniform()
    >>> np.random.uniform() == expected != other
    True
    """
    before = RandomState()
    before_seed = global_seed()
    unseed = foreign.kept_seed()
    try:
        set_global_generator(None)
        reseed(seed)
        yield
    finally:
        unseed()
        set_global_seed(before_seed)
        before.restore()


def reseed(seed: int) -> None:
    """Seeds all random states of training, inside a block of `seeded`.

    It can be used at the start of every epoch, for instance, so that the random numbers
    of an epoch do not depend on the epochs before it. Compiled steps continue to draw
    from the same generators, which are set to the seed.

    Args:
        seed: Int in [0, 2**32).

    Example:

    >>> import numpy as np
    >>> from keras_deeptools.engine._state.random_state import reseed, seeded
    >>> with seeded(7):
    ...     first = np.random.uniform()
    ...     reseed(7)
    ...     np.random.uniform() == first
    True
    """
    set_global_seed(seed)
    generator = global_generator()
    if generator is not None:
        generator.state.assign([seed, 0])
    random.seed(seed)
    np.random.seed(seed)
    foreign.reseed(seed)
