"""What is unfrozen trains as in a fresh optimizer, and the rest as if nothing was."""

from collections.abc import Callable

import keras
import numpy as np
import pytest

from keras_deeptools.transfer import freeze, unfreeze
from transfer.two_branches import optimizers, step, two_branches, values

of = keras.optimizers
MAKERS = optimizers() | {
    "Adam without amsgrad": lambda: of.Adam(0.1),
    "Adamax": lambda: of.Adamax(0.1),
    "Lamb": lambda: of.Lamb(0.1),
    "Muon": lambda: of.Muon(0.1, exclude_layers=["left"]),
    "Lion": lambda: of.Lion(0.1),
    "Adagrad": lambda: of.Adagrad(0.1),
}
del MAKERS["RMSprop"]
each_optimizer = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())


@each_optimizer
def test_what_is_unfrozen_late_trains_as_in_a_fresh_optimizer(make: Callable) -> None:
    late, fresh = two_branches(make()), two_branches(make())
    freeze(late, "left")
    for _ in range(8):
        step(late)
    unfreeze(late, "left")
    for _ in range(4):
        step(late)
        step(fresh)
        now, then = values(late, "left"), values(fresh, "left")
        np.testing.assert_allclose(now["kernel"], then["kernel"], atol=2e-6)
        np.testing.assert_allclose(now["bias"], then["bias"], atol=2e-6)
