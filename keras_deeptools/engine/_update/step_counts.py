"""Counts the updates of variables from when they began to train.

Adam and similar optimizers divide by `1 - beta ** step`, which compensates for averages
that start at zero. Late in training it has no effect, and averages that start then lead
to steps that are several times too long. Here the optimizer's own code sees the
variable's own count, so that unfrozen weights train as in a fresh optimizer.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_deeptools.engine._backends.common import on_host
from keras_deeptools.engine._keras_private.optimizers import (
    ITERATIONS,
    counted_batches,
    momentum_product,
)
from keras_deeptools.engine._patching import replaced

BIRTHS = "_keras_deeptools_births"
of = keras.optimizers
UNCOUNTED = (of.SGD, of.Adagrad, of.Adadelta, of.Ftrl, of.Lion)
"""Optimizers whose update is the same at every step."""


def births_of(leaf: Any) -> dict[int, int]:
    """Updates before each variable began to train: identity -> count, if not 0."""
    return vars(leaf).get(BIRTHS, {})


def set_births(leaf: Any, births: dict[int, int]) -> None:
    """Replaces what `births_of` returns; the optimizer's methods must be wrapped."""
    vars(leaf).pop(BIRTHS, None)
    late = {key: birth for key, birth in births.items() if birth > 0}
    if late and type(leaf) not in UNCOUNTED and not shares_rate(leaf):
        vars(leaf)[BIRTHS] = late


def shares_rate(leaf: Any) -> bool:
    """Whether an optimizer makes one estimate from all weights in each update."""
    return bool(getattr(leaf, "SHARES_RATE", False))


def num_updates(leaf: Any) -> int:
    """Updates that the optimizer has made; on the host, between steps."""
    batches = int(on_host(counted_batches(leaf)))
    return batches // (leaf.gradient_accumulation_steps or 1)


@contextlib.contextmanager
def own_count(leaf: Any, birth: int) -> Iterator[None]:
    """Shows the optimizer a count of updates that begins at `birth`."""
    if not birth:
        yield
        return
    iterations = counted_batches(leaf)
    batches = birth * (leaf.gradient_accumulation_steps or 1)
    with replaced(leaf, ITERATIONS, ops.subtract(iterations, batches)):
        if isinstance(leaf, keras.optimizers.Nadam):
            momentum_product(leaf).assign(_nadam_product(leaf))
        yield


def own_rate(leaf: Any, birth: int, learning_rate: Any) -> Any:
    """The learning rate in `own_count`, lower if fresh steps would be too long."""
    if not birth or not isinstance(leaf, keras.optimizers.RMSprop):
        return learning_rate
    step = ops.cast(leaf.iterations + 1, "float32")
    return learning_rate * ops.sqrt(1 - ops.power(float(leaf.rho), step))


def _nadam_product(leaf: Any) -> Any:
    """What Nadam's `_u_product` is after `leaf.iterations` updates."""
    dtype = momentum_product(leaf).dtype
    factors = np.cumprod(1 - 0.5 * 0.96 ** np.arange(1.0, 500.0))
    table = ops.convert_to_tensor(np.concatenate([[1.0], factors]), dtype)
    place = ops.minimum(ops.cast(leaf.iterations, "int32"), len(factors))
    step = ops.cast(leaf.iterations, dtype)
    return ops.take(table, place) * ops.power(ops.cast(leaf.beta_1, dtype), step)
