"""Batches of any data that `fit` takes, drawn repeatedly as `fit` would draw them."""

import contextlib
import itertools
import math
import types
import warnings
from collections.abc import Generator, Iterator
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._backends.active import training
from keras_deeptools.engine._building.first_step import (
    build_in_first_step,
    unbuilt_again_on_failure,
)
from keras_deeptools.engine._data.errors import (
    check_data,
    check_generated,
    empty,
    explained,
    non_finite,
)
from keras_deeptools.engine._keras_private.data import (
    arrays_in,
    batches_apart,
)
from keras_deeptools.engine._keras_private.layers import flat_layers
from keras_deeptools.engine._keras_private.registry import check_seams
from keras_deeptools.engine._keras_private.training import (
    build_for,
    build_in_strategy,
    is_distributed,
)
from keras_deeptools.engine._state.random_state import RandomState

LEAST_WHOLE_BATCHES = 4
"""With more batches than this, one that is smaller than the others can be spared."""


class Batches:
    """Batches of data that `fit` takes, drawn repeatedly.

    Args:
        model: `keras.Model`, compiled.
        x: Arrays, `tf.data.Dataset`, `keras.utils.PyDataset`, torch `DataLoader` or a
            Python generator, as in `fit`.
        y: Targets, when `x` is arrays.
        sample_weight: Sample weights, when `x` is arrays.
        batch_size: Int or None, when `x` is arrays.
        shuffle: Bool. Whether arrays and PyDatasets are drawn in random order.
        class_weight: Dict from class to weight or None, as in `fit`.
        owner: Str. Name of the caller, for errors.

    Attributes:
        num_batches: Int, batches in one pass, or None where that is unknown.
        one_pass: Bool, whether `x` can be read only once.
        generators: Random generators that the data hold themselves.

    Raises:
        ValueError: If the data are of no known kind, or empty.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.engine._data.fit_batches import Batches
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
        class_weight: dict[int, float] | None = None,
        owner: str = "Batches",
    ) -> None:
        check_seams(owner, "layers", "training", "data", "random")
        self._model = model
        self._source = x
        self._owner = owner
        self.one_pass = isinstance(x, types.GeneratorType)
        self.generators = random_generators(x)
        self._kept: list[Any] = []
        self._iterator: Any = None
        self.num_batches = None
        check_data(owner, x, y, sample_weight, class_weight)
        if self.one_pass:
            first = next(self._drawn(), None)
            if first is None:
                raise empty(owner, x)
            check_generated(owner, first)
            return
        with self._undrawn(), warnings.catch_warnings():
            # Data that shuffle themselves ignore `shuffle`, and say so.
            warnings.filterwarnings("ignore", message=".*will be ignored.*")
            self._iterator = self._epoch_iterator(
                x=x,
                y=y,
                sample_weight=sample_weight,
                batch_size=batch_size,
                shuffle=shuffle,
                class_weight=class_weight,
            )
        self.num_batches = self._iterator.num_batches
        if self.num_batches == 0:
            raise empty(owner, x)
        if self.num_batches is None:
            self.first()

    def first(self) -> Any:
        """The batch that `fit` would pass to the first step; it counts as not drawn."""
        with self._undrawn(), contextlib.closing(self._endless()) as endless:
            return next(endless)

    def sample(self) -> Any:
        """The data for explaining errors: all of the arrays, or the first batch."""
        return self.first() if self._arrays is None else self._arrays

    @property
    def _arrays(self) -> Any:
        """`x`, `(x, y)` or `(x, y, sample_weight)` where these are arrays, or None."""
        return arrays_in(getattr(self._iterator, "data_adapter", None))

    def build(self) -> None:
        """Creates the variables that `fit` would create, and draws what it would draw.

        On JAX and torch the first `fit` of a compiled model draws a batch to build it,
        hence one more permutation; on TensorFlow the first step builds.
        """
        model = self._model
        iterator = self._iterator
        if self.one_pass:
            iterator = self._epoch_iterator(x=self._drawn(), shuffle=False)
        if not training.BUILDS_IN_STEP:
            with unbuilt_again_on_failure(model):
                build_for(model, iterator=iterator)
            iterator.reset()
        elif is_distributed(model):
            build_in_strategy(model, iterator)
            iterator.reset()
        elif not all(layer.built for layer in flat_layers(model)):
            build_in_first_step(model, self.first())

    def non_finite(self, batch: Any) -> list[str]:
        """Describes NaN and infinity in the data, in a sentence for each array.

        Args:
            batch: The batch in which something is wrong. For arrays, all samples are
                checked instead.
        """
        if self._arrays is not None:
            return non_finite(self._arrays)
        return non_finite(batch, where="the batch")

    def taken(self, num: int, most_bytes: float = math.inf) -> list[Any]:
        """The next batches of one pass, kept in memory.

        Args:
            num: Int >= 1, the most batches.
            most_bytes: Float. As many batches as bring their numbers to that size in
                float32.

        Returns:
            List of batches, at least one. A last one that is smaller is left out where
            there are others enough: some backends would compile the step again for it.
        """
        kept: list[Any] = []
        size = 0
        with contextlib.closing(self._once()) as one_pass:
            for batch in one_pass:
                kept.append(batch)
                size += sum(4 * int(np.prod(each.shape)) for each in _arrays(batch))
                if len(kept) >= num or size >= most_bytes:
                    break
        if not kept:
            raise empty(self._owner, self._source)
        if len(kept) > LEAST_WHOLE_BATCHES and _length(kept[-1]) < _length(kept[0]):
            kept.pop()
        return kept

    @contextlib.contextmanager
    def endless(self) -> Iterator[Iterator[Any]]:
        """Batches without end; from their start again where the data end.

        Leaving the context ends the threads that load data.
        """
        with contextlib.closing(self._endless()) as endless:
            yield endless

    @contextlib.contextmanager
    def once(self) -> Iterator[Iterator[Any]]:
        """The batches of one pass over the data, whole where several replicas train.

        Leaving the context ends the threads that load data.
        """
        with contextlib.closing(self._whole()) as batches:
            yield batches

    def _whole(self) -> Generator[Any, None, None]:
        if self.one_pass:
            yield from self._drawn()
            return
        adapter = self._iterator.data_adapter
        adapter.on_epoch_begin()
        try:
            yield from batches_apart(adapter)
        finally:
            adapter.on_epoch_end()

    def _endless(self) -> Generator[Any, None, None]:
        if self.one_pass:
            while True:
                for batch in self._drawn():
                    yield training.converted(batch)
        while True:
            nothing = True
            with contextlib.closing(self._pass()) as one_pass:
                for batch in one_pass:
                    nothing = False
                    yield batch
            if nothing:
                raise empty(self._owner, self._source)

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

    def _once(self) -> Generator[Any, None, None]:
        if self.one_pass:
            yield from map(training.converted, self._drawn())
        else:
            yield from self._pass()

    def _pass(self) -> Generator[Any, None, None]:
        adapter = self._iterator.data_adapter
        adapter.on_epoch_begin()
        try:
            yield from training.of_epoch(self._iterator)
        finally:
            adapter.on_epoch_end()

    def _epoch_iterator(self, **arguments: Any) -> Any:
        with explained(self._owner, arguments):
            return training.iterator_of(self._model)(**arguments)

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


def _arrays(batch: Any) -> list[Any]:
    return [each for each in keras.tree.flatten(batch) if each is not None]


def _length(batch: Any) -> int:
    shape = _arrays(batch)[0].shape
    return int(shape[0]) if len(shape) else 0


def random_generators(x: Any) -> list[Any]:
    """Generators that a torch DataLoader and its samplers draw from."""
    samplers = [x, getattr(x, "sampler", None), getattr(x, "batch_sampler", None)]
    samplers.append(getattr(samplers[-1], "sampler", None))
    found = [getattr(each, "generator", None) for each in samplers]
    return list({id(g): g for g in found if hasattr(g, "get_state")}.values())
