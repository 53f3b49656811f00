"""Batches of any data that `fit` takes, as `fit` would draw them."""

import contextlib
import importlib
import itertools
import types
import warnings
from collections.abc import Generator, Iterator
from typing import Any

import keras
from keras.src.trainers.data_adapters import data_adapter_utils

from keras_deeptools.engine._randomness import RandomState

EPOCH_ITERATORS = {
    "tensorflow": "TFEpochIterator",
    "jax": "JAXEpochIterator",
    "torch": "TorchEpochIterator",
}
ADAPTERS_AS_THEY_ARE = {
    "tensorflow": ("ArrayDataAdapter", "TFDatasetAdapter"),
    "torch": ("ArrayDataAdapter", "TorchDataLoaderAdapter"),
}


class Batches:
    """Batches of what one would pass to `fit`, over and over.

    Args:
        model: `keras.Model`, compiled.
        x: Arrays, `tf.data.Dataset`, `keras.utils.PyDataset`, torch `DataLoader` or a
            Python generator, as in `fit`.
        y: Targets, when `x` is arrays.
        sample_weight: Sample weights, when `x` is arrays.
        batch_size: Int or None, when `x` is arrays.
        shuffle: Bool. Whether arrays and PyDatasets are drawn in random order.

    Attributes:
        num_batches: Int, batches in one pass, or None where that is unknown.
        one_pass: Bool, whether `x` can be read only once.
        generators: Random generators that the data hold themselves.

    Raises:
        ValueError: If the data are of no known kind, or empty.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.engine._batches import Batches
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", loss="mse")
    >>> batches = Batches(model, np.ones((10, 2)), np.ones((10, 1)), batch_size=4)
    >>> with batches.endless() as endless:
    ...     [tuple(next(endless)[0].shape) for _ in range(4)]
    [(4, 2), (4, 2), (2, 2), (4, 2)]
    """

    def __init__(
        self,
        model: keras.Model,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        batch_size: int | None = None,
        shuffle: bool = True,
    ) -> None:
        self._model = model
        self._source = x
        self._backend = keras.backend.backend()
        self.one_pass = isinstance(x, types.GeneratorType)
        self.generators = _random_generators(x)
        self._kept: list[Any] = []
        self._iterator: Any = None
        self.num_batches = None
        if self.one_pass:
            for name, value in {"y": y, "sample_weight": sample_weight}.items():
                if value is not None:
                    raise ValueError(
                        f"Batches: `{name}` must be None where `x` is a generator. "
                        f"Received: {name} of type {type(value).__name__}. Let the "
                        "generator yield (x, y) or (x, y, sample_weight)."
                    )
            if next(self._drawn(), None) is None:
                raise _empty(x)
            return
        if x is None:
            raise ValueError("Batches: `x` must be data. Received: x=None.")
        with self._undrawn(), warnings.catch_warnings():
            # Data that shuffle themselves ignore `shuffle`, and say so.
            warnings.filterwarnings("ignore", message=".*will be ignored.*")
            self._iterator = self._epoch_iterator(
                x=x,
                y=y,
                sample_weight=sample_weight,
                batch_size=batch_size,
                shuffle=shuffle,
            )
        self.num_batches = self._iterator.num_batches
        if self.num_batches == 0:
            raise _empty(x)
        if self.num_batches is None:
            with self._undrawn(), contextlib.closing(self._pass()) as batches:
                if next(batches, None) is None:
                    raise _empty(x)

    def build(self) -> None:
        """Creates the variables that `fit` would create, and draws what it would draw.

        On JAX and torch the first `fit` of a compiled model draws a batch to build it,
        hence one more permutation; on TensorFlow the first step builds.
        """
        model = self._model
        iterator = self._iterator
        if self.one_pass:
            iterator = self._epoch_iterator(x=self._drawn(), shuffle=False)
        if self._backend != "tensorflow":
            model._symbolic_build(iterator=iterator)
            iterator.reset()
        elif model._distribute_strategy is not None:
            model._maybe_symbolic_build(iterator=iterator)
            iterator.reset()
        elif not all(layer.built for layer in model._flatten_layers()):
            with self._undrawn(), contextlib.closing(self._endless()) as batches:
                batch = next(batches)
            model._symbolic_build(data_batch=batch)

    @contextlib.contextmanager
    def endless(self) -> Iterator[Iterator[Any]]:
        """Batches without end; from their start again where the data end.

        Leaving the context ends the threads that load data.
        """
        with contextlib.closing(self._endless()) as batches:
            yield batches

    def _endless(self) -> Generator[Any, None, None]:
        if self.one_pass:
            while True:
                for batch in self._drawn():
                    yield self._converted(batch)
        while True:
            empty = True
            with contextlib.closing(self._pass()) as batches:
                for batch in batches:
                    empty = False
                    yield batch
            if empty:
                raise _empty(self._source)

    def replay(self) -> Iterator[Any] | None:
        """All batches of one-pass data: those drawn so far again, and the rest.

        None for data that can be read again.
        """
        return _chained(self._kept, self._source) if self.one_pass else None

    def _drawn(self) -> Iterator[Any]:
        """All batches of one-pass data, which are kept as they are drawn."""
        for position in itertools.count():
            if position == len(self._kept):
                try:
                    self._kept.append(next(self._source))
                except StopIteration:
                    return
            yield self._kept[position]

    def _converted(self, batch: Any) -> Any:
        convert = data_adapter_utils.get_numpy_iterator
        if self._backend == "jax":
            convert = data_adapter_utils.get_jax_iterator
        return next(convert([batch]))

    def _pass(self) -> Generator[Any, None, None]:
        adapter = self._iterator.data_adapter
        kept_as_is = ADAPTERS_AS_THEY_ARE.get(self._backend, ())
        if self._backend == "jax":
            draw = adapter.get_jax_iterator
        elif type(adapter).__name__ in kept_as_is:
            draw = self._iterator._get_iterator
        else:
            draw = adapter.get_numpy_iterator
        adapter.on_epoch_begin()
        try:
            yield from draw()
        finally:
            adapter.on_epoch_end()

    def _epoch_iterator(self, **arguments: Any) -> Any:
        module = importlib.import_module(f"keras.src.backend.{self._backend}.trainer")
        if self._backend == "tensorflow":
            arguments["distribute_strategy"] = self._model.distribute_strategy
        iterator_class = getattr(module, EPOCH_ITERATORS[self._backend])
        try:
            return iterator_class(**arguments)
        except ValueError as error:
            if "Unrecognized data type" not in str(error):
                raise
            raise ValueError(
                "Batches: `x` must be arrays, a tf.data.Dataset, a PyDataset, a torch "
                "DataLoader or a generator. Received: x of type "
                f"{type(arguments['x']).__name__}. Wrap an iterator in a generator: "
                "`(batch for batch in x)`."
            ) from error

    @contextlib.contextmanager
    def _undrawn(self) -> Iterator[None]:
        """Takes back what is drawn from random generators in the block."""
        state = RandomState(*self.generators)
        try:
            yield
        finally:
            state.restore()


def _chained(kept: list[Any], rest: Iterator[Any]) -> Iterator[Any]:
    while kept:
        yield kept.pop(0)
    yield from rest


def _random_generators(x: Any) -> list[Any]:
    """Generators that a torch DataLoader and its samplers draw from."""
    samplers = [x, getattr(x, "sampler", None), getattr(x, "batch_sampler", None)]
    samplers.append(getattr(samplers[-1], "sampler", None))
    found = [getattr(each, "generator", None) for each in samplers]
    return list({id(g): g for g in found if hasattr(g, "get_state")}.values())


def _empty(x: Any) -> ValueError:
    return ValueError(
        "Batches: `x` must hold at least one batch. Received: "
        f"x of type {type(x).__name__}, which is empty. Pass data with samples."
    )
