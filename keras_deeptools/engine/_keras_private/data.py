"""What feeds `fit`: adapters around data, and iterators over epochs."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._backends.foreign import apart
from keras_deeptools.engine._keras_private.seam import Seam, has_private, private

ADAPTERS = "trainers.data_adapters"
UTILITIES = "trainers.data_adapters.data_adapter_utils"


def adapter_of(x: Any, batch_size: int, y: Any = None) -> Any:
    """What `predict` and `evaluate` read data with, in order."""
    adapt = private(ADAPTERS, "get_data_adapter")
    return adapt(x=x, y=y, batch_size=batch_size, shuffle=False)


def kind_of(x: Any) -> str:
    """What a dataset that belongs to no public class of Keras is called, or ""."""
    for name, test in (
        ("tf.data.Dataset", "is_tf_dataset"),
        ("torch DataLoader", "is_torch_dataloader"),
        ("grain dataset", "is_grain_dataset"),
    ):
        # Keras knows grain from 3.11 on.
        if getattr(private(ADAPTERS), test, _no)(x):
            return name
    return ""


def _no(x: Any) -> bool:
    return False


def are_arrays(value: Any) -> bool:
    """Whether Keras takes a structure for arrays."""
    return private(ADAPTERS, "array_data_adapter").can_convert_arrays(value)


def adapter_kind(adapter: Any) -> str:
    """The name of the class of an adapter, or of None."""
    return type(adapter).__name__


def arrays_in(adapter: Any) -> Any:
    """`x`, `(x, y)` or `(x, y, sample_weight)` of an adapter of arrays; else None."""
    return adapter._inputs if adapter_kind(adapter) == "ArrayDataAdapter" else None


def loader_in(adapter: Any) -> Any:
    """The torch DataLoader that an adapter reads, or None."""
    return getattr(adapter, "_dataloader", None)


def batches_apart(adapter: Any) -> Iterator[Any]:
    """Batches of numpy arrays of an adapter, read beside a `fit` that reads them too.

    Of a `tf.data.Dataset` a copy is read; one that cannot be copied gives nothing.
    """
    if adapter_kind(adapter) != "TFDatasetAdapter":
        return iter(adapter.get_numpy_iterator())
    dataset = apart(adapter.get_tf_dataset())
    if dataset is None:
        return iter(())
    beside = copy.copy(adapter)
    beside._dataset = dataset
    return iter(beside.get_numpy_iterator())


def first_batches_in(adapter: Any) -> list[Any]:
    """The batches that Keras has drawn from a generator to know their shapes."""
    return list(getattr(adapter, "_first_batches", None) or ())


def standardized_batch(adapter: Any, batch: Any) -> Any:
    """An item of a PyDataset as `fit` reads it."""
    return adapter._standardize_batch(batch)


def dataset_in(iterator: Any) -> Any:
    """The dataset that an iterator of TensorFlow reads, or None."""
    return getattr(iterator, "_distributed_dataset", None)


def epoch_iterator(trainer: str, name: str) -> Callable[..., Any]:
    """The class that feeds `fit`.

    Args:
        trainer: Str, the module of the trainer, such as `"backend.jax.trainer"`.
        name: Str, the class.
    """
    return private(trainer, name)


def batches_in(iterator: Any) -> Iterator[Any]:
    """The batches of an epoch as a step gets them."""
    return iterator._get_iterator()


def as_numpy(batch: Any) -> Any:
    """A batch as numpy arrays."""
    return next(private(UTILITIES, "get_numpy_iterator")([batch]))


def as_jax(batch: Any) -> Any:
    """A batch in the form that JAX accepts."""
    return next(private(UTILITIES, "get_jax_iterator")([batch]))


def as_torch(batch: Any) -> Any:
    """A batch as tensors of torch."""
    return next(iter(private(UTILITIES, "get_torch_dataloader")([batch])))


def on_jax_devices(batch: Any) -> Any:
    """A batch on the devices that a step on JAX runs on."""
    return private("backend.jax.trainer", "_distribute_data")(batch)


def as_tensorflow_sparse(value: Any) -> Any:
    """A sparse matrix of scipy or JAX as TensorFlow's; None for anything else."""
    for test, convert in (
        ("is_scipy_sparse", "scipy_sparse_to_tf_sparse"),
        ("is_jax_sparse", "jax_sparse_to_tf_sparse"),
    ):
        if private(UTILITIES, test)(value):
            return private(UTILITIES, convert)(value)
    return None


def _adapter() -> Any:
    return adapter_of(np.zeros((1, 1), "float32"), 1)


def _generator_adapter() -> Any:
    return adapter_of((each for each in [(np.zeros((1, 1), "float32"),)] * 2), 1)


SEAMS = (
    Seam(
        "data_adapters.get_data_adapter",
        "reading any data that `predict` takes",
        "passes over data take arrays only",
        lambda: hasattr(_adapter(), "get_numpy_iterator"),
    ),
    Seam(
        "ArrayDataAdapter._inputs",
        "looking at all samples for values that are not finite",
        "errors name no sample",
        lambda: arrays_in(_adapter()) is not None,
    ),
    Seam(
        "array_data_adapter.can_convert_arrays, data_adapters.is_tf_dataset, "
        "data_adapters.is_torch_dataloader",
        "naming the argument where data are of the wrong kind",
        "errors about data come late and say little",
        lambda: are_arrays(np.zeros(1)) and kind_of(np.zeros(1)) == "",
    ),
    Seam(
        "EpochIterator._get_iterator, EpochIterator._distributed_dataset",
        "drawing the batches that `fit` would draw",
        "range tests train on other batches",
        lambda: hasattr(
            private("trainers.epoch_iterator", "EpochIterator"), "_get_iterator"
        ),
    ),
    Seam(
        "TorchDataLoaderAdapter._dataloader",
        "taking back what reading a DataLoader draws",
        "looking at data changes the order of training",
        has_private(ADAPTERS, "TorchDataLoaderAdapter"),
    ),
    Seam(
        "PyDatasetAdapter._standardize_batch",
        "reading a PyDataset beside `fit`",
        "values that are not finite are not found in a PyDataset",
        lambda: hasattr(private(ADAPTERS, "PyDatasetAdapter"), "_standardize_batch"),
    ),
    Seam(
        "GeneratorDataAdapter._first_batches",
        "looking at the first samples of a generator",
        "of generators no samples are looked at",
        lambda: bool(first_batches_in(_generator_adapter())),
    ),
    Seam(
        "TFDatasetAdapter._dataset",
        "reading a tf.data.Dataset beside `fit`",
        "looking at data changes the order of training",
        has_private(ADAPTERS, "TFDatasetAdapter"),
    ),
    Seam(
        "data_adapter_utils",
        "giving a step batches in the form that `fit` gives them",
        "batches of generators are refused by the step",
        has_private(
            UTILITIES,
            "get_numpy_iterator",
            "get_jax_iterator",
            "get_torch_dataloader",
            "is_scipy_sparse",
            "scipy_sparse_to_tf_sparse",
            "is_jax_sparse",
            "jax_sparse_to_tf_sparse",
        ),
    ),
    Seam(
        "jax.trainer._distribute_data",
        "putting batches where a step on JAX wants them",
        "distributed models on JAX cannot be range-tested on generators",
        lambda: (
            keras.backend.backend() != "jax"
            or has_private("backend.jax.trainer", "_distribute_data")()
        ),
    ),
)
