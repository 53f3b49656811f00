"""How `fit` feeds a step on TensorFlow."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from keras_deeptools.engine._keras_private.data import (
    adapter_kind,
    as_numpy,
    as_tensorflow_sparse,
    batches_in,
    epoch_iterator,
)

_LEFT_TO_KERAS = ("ArrayDataAdapter", "TFDatasetAdapter")
"""Adapters that load nothing in threads, which would go on after the last batch."""


def iterator_of(model: Any) -> Callable[..., Any]:
    """What makes the iterator by which `fit` feeds a model."""
    made = epoch_iterator("backend.tensorflow.trainer", "TFEpochIterator")
    return functools.partial(made, distribute_strategy=model.distribute_strategy)


def converted(batch: Any) -> Any:
    """A batch of numpy arrays in the form in which `fit` hands it to the step."""
    return as_tensors(as_numpy(batch))


def as_tensors(batch: Any) -> Any:
    """A batch of arrays or sparse matrices as the step takes it when it is called."""
    return keras.tree.map_structure(
        lambda each: None if each is None else _tensor(each), batch
    )


def of_epoch(iterator: Any) -> Iterator[Any]:
    """The batches of one epoch, as `fit` would hand them to the step."""
    adapter = iterator.data_adapter
    if adapter_kind(adapter) in _LEFT_TO_KERAS:
        return map(_without_optionals, batches_in(iterator))
    return map(converted, adapter.get_numpy_iterator())


def _tensor(value: Any) -> Any:
    sparse = as_tensorflow_sparse(value)
    if sparse is not None:
        return sparse
    kept = (tf.Tensor, tf.RaggedTensor, tf.SparseTensor)
    return value if isinstance(value, kept) else tf.convert_to_tensor(value)


def _without_optionals(batch: Any) -> Any:
    """None in the place of what says that a Dataset has no value, as Keras does it."""
    return keras.tree.map_structure(
        lambda i: None if isinstance(i, tf.experimental.Optional) else i, batch
    )
