"""How `fit` feeds a step on JAX."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import keras

from keras_deeptools.engine._keras_private.data import (
    as_jax,
    batches_in,
    epoch_iterator,
    on_jax_devices,
)


def iterator_of(model: Any) -> Callable[..., Any]:
    """What makes the iterator by which `fit` feeds a model."""
    return epoch_iterator("backend.jax.trainer", "JAXEpochIterator")


def converted(batch: Any) -> Any:
    """A batch of numpy arrays in the form in which `fit` hands it to the step.

    On a CPU that is numpy arrays.
    """
    batch = as_jax(batch)
    distributed = keras.distribution.distribution() is not None
    if distributed or jax.default_backend() != "cpu":
        return on_jax_devices(batch)
    return batch


def as_tensors(batch: Any) -> Any:
    """A batch of arrays as the step takes it when it is called on it."""
    return batch


def of_epoch(iterator: Any) -> Iterator[Any]:
    """The batches of one epoch, as `fit` would hand them to the step."""
    return batches_in(iterator)
