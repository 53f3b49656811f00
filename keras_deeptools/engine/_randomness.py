"""The random states that training draws from."""

import random
import sys
from typing import Any

import keras
import numpy as np
from keras.src.backend.common import global_state
from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR


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
