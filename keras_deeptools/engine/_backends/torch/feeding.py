"""How `fit` feeds a step on torch."""

from collections.abc import Callable, Iterator
from typing import Any

from keras_deeptools.engine._keras_private.data import (
    adapter_kind,
    as_torch,
    batches_in,
    epoch_iterator,
)

_LEFT_TO_KERAS = ("ArrayDataAdapter", "TorchDataLoaderAdapter")
"""Adapters that load nothing in threads, which would go on after the last batch."""


def iterator_of(model: Any) -> Callable[..., Any]:
    """What makes the iterator by which `fit` feeds a model."""
    return epoch_iterator("backend.torch.trainer", "TorchEpochIterator")


def converted(batch: Any) -> Any:
    """A batch of numpy arrays in the form in which `fit` hands it to the step."""
    return as_torch(batch)


def as_tensors(batch: Any) -> Any:
    """A batch of arrays as the step takes it when it is called on it."""
    return batch


def of_epoch(iterator: Any) -> Iterator[Any]:
    """The batches of one epoch, as `fit` would hand them to the step."""
    adapter = iterator.data_adapter
    if adapter_kind(adapter) in _LEFT_TO_KERAS:
        return batches_in(iterator)
    return map(converted, adapter.get_numpy_iterator())
