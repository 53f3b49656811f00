"""A stretch of the program with random numbers of its own."""

import random
import sys
import types

import keras
import numpy as np
import pytest

from keras_deeptools.engine._state.random_state import seeded


def draws():
    """A number of every stream that training draws from."""
    found = [
        random.random(),
        np.random.uniform(),
        float(keras.ops.convert_to_numpy(keras.random.uniform(()))),
    ]
    if "torch" in sys.modules:
        found.append(float(sys.modules["torch"].rand(())))
    if "tensorflow" in sys.modules:
        found.append(float(sys.modules["tensorflow"].random.uniform(())))
    return found


def test_the_same_seed_draws_the_same_numbers():
    with seeded(3):
        first = draws()
    with seeded(3):
        second = draws()
    with seeded(4):
        third = draws()
    assert first == second
    assert not set(first) & set(third)


def start():
    """Seeds every stream; Keras leaves torch alone where it is not the backend."""
    keras.utils.set_random_seed(5)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(5)
    draws()


@pytest.mark.parametrize("error", [None, KeyboardInterrupt])
def test_the_program_goes_on_as_if_it_had_not_been(error):
    start()
    expected = draws()
    start()
    try:
        with seeded(3):
            draws()
            if error is not None:
                raise error
    except KeyboardInterrupt:
        pass
    assert draws() == expected


class Unseeded:
    """TensorFlow's context before any seed was set."""

    def _set_global_seed(self, seed):
        self._rng = random.Random(seed)


def test_it_works_where_no_seed_was_ever_set(monkeypatch):
    context = Unseeded()
    module = types.SimpleNamespace(context=lambda: context)
    monkeypatch.setitem(sys.modules, "tensorflow.python.eager.context", module)
    with seeded(3):
        assert context._rng.random() == random.Random(3).random()
    assert context._rng is None
