"""A stretch of the program with random numbers of its own."""

import contextlib
import random
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from keras.src.backend.common import global_state
from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR
from keras.src.utils.rng_utils import GLOBAL_RANDOM_SEED

from keras_deeptools.engine._randomness import RandomState


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seeds all that training draws from, and puts it all back at the end.

    As `keras.utils.set_random_seed`, but for a block; what has not been imported is not
    imported.

    Args:
        seed: Int in [0, 2**32).

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.engine import seeded
    >>> keras.utils.set_random_seed(1)
    >>> expected = np.random.uniform()
    >>> keras.utils.set_random_seed(1)
    >>> with seeded(7):
    ...     other = np.random.uniform()
    >>> np.random.uniform() == expected != other
    True
    """
    before = RandomState()
    global_seed = global_state.get_global_attribute(GLOBAL_RANDOM_SEED)
    context = _tensorflow_context()
    # Without a seed, operations have no generator of seeds.
    operations = getattr(context, "_rng", None)
    operations_seed = getattr(context, "_seed", None)
    try:
        global_state.set_global_attribute(GLOBAL_SEED_GENERATOR, None)
        reseed(seed)
        yield
    finally:
        if context is not None:
            context._set_global_seed(operations_seed)
            if operations is not None:
                context._rng = operations
        global_state.set_global_attribute(GLOBAL_RANDOM_SEED, global_seed)
        before.restore()


def reseed(seed: int) -> None:
    """Seeds all that training draws from, inside a block of `seeded`.

    At the start of every epoch, for instance, so that what an epoch draws does not
    depend on the epochs before it. Compiled steps go on drawing from the generators
    that they know, which are set to the seed.

    Args:
        seed: Int in [0, 2**32).

    Example:

    >>> import numpy as np
    >>> from keras_deeptools.engine import reseed, seeded
    >>> with seeded(7):
    ...     first = np.random.uniform()
    ...     reseed(7)
    ...     np.random.uniform() == first
    True
    """
    global_state.set_global_attribute(GLOBAL_RANDOM_SEED, seed)
    generator = global_state.get_global_attribute(GLOBAL_SEED_GENERATOR)
    if generator is not None:
        generator.state.assign([seed, 0])
    random.seed(seed)
    np.random.seed(seed)
    context = _tensorflow_context()
    if context is not None:
        context._set_global_seed(seed)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(seed)


def _tensorflow_context() -> Any:
    """What operations get their seeds from, where TensorFlow has been imported."""
    module = sys.modules.get("tensorflow.python.eager.context")
    return module.context() if module else None
