"""The random states that training draws from."""

import contextlib
import random
import sys
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras.src.backend.common import global_state
from keras.src.utils.rng_utils import GLOBAL_RANDOM_SEED

# The name has a constant of its own from Keras 3.13 on.
GLOBAL_SEED_GENERATOR = "global_seed_generator"


class RandomState:
    """A copy of every global random state; `restore` puts it back.

    Covers Python, numpy, the seed generator that Keras draws unseeded operations from,
    and TensorFlow and torch where they have been imported (`tf.data` and `DataLoader`
    feed every backend). Seed generators of layers are variables of the model.

    Args:
        *generators: Further objects with `get_state` and `set_state`.
    """

    def __init__(self, *generators: Any) -> None:
        self._python = random.getstate()
        self._numpy = np.random.get_state()
        self._keras = global_state.get_global_attribute(GLOBAL_SEED_GENERATOR)
        self._seed = None if self._keras is None else _copied(self._keras.state)
        self._generators = [(each, each.get_state()) for each in generators]
        self._torch = _torch_states()
        self._tensorflow = _tensorflow_state()

    def restore(self) -> None:
        """Puts everything back."""
        random.setstate(self._python)
        np.random.set_state(self._numpy)
        global_state.set_global_attribute(GLOBAL_SEED_GENERATOR, self._keras)
        if self._keras is not None:
            self._keras.state.assign(self._seed)
        for generator, state in self._generators:
            generator.set_state(state)
        if self._torch is not None:
            torch = sys.modules["torch"]
            torch.set_rng_state(self._torch[0])
            for device, state in enumerate(self._torch[1]):
                torch.cuda.set_rng_state(state, device)
        if self._tensorflow is not None:
            _operation_seeds().setstate(self._tensorflow)


def _copied(variable: Any) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(variable.value))


def _torch_states() -> tuple[Any, list[Any]] | None:
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "get_rng_state"):
        return None
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return torch.get_rng_state(), devices


def _operation_seeds() -> Any:
    """What TensorFlow gives operations their seeds from, once a seed has been set."""
    context = sys.modules.get("tensorflow.python.eager.context")
    return getattr(context.context(), "_rng", None) if context else None


def _tensorflow_state() -> Any:
    seeds = _operation_seeds()
    return None if seeds is None else seeds.getstate()


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seeds all that training draws from, and puts it all back at the end.

    As `keras.utils.set_random_seed`, but for a block; what has not been imported is not
    imported.

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
    global_seed = global_state.get_global_attribute(GLOBAL_RANDOM_SEED)
    context = _tensorflow_context()
    # Without a seed so far, nothing to draw the seeds of operations from exists.
    operations = (getattr(context, "_seed", None), getattr(context, "_rng", None))
    try:
        global_state.set_global_attribute(GLOBAL_SEED_GENERATOR, None)
        reseed(seed)
        yield
    finally:
        if context is not None:
            context._set_global_seed(operations[0])
            context._rng = operations[1]
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
    >>> from keras_deeptools.engine._state.random_state import reseed, seeded
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
