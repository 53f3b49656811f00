"""Compiled passes up to a cut or to chosen calls, which leave the model as it was."""

import contextlib
import weakref
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_deeptools.engine._backends.common import on_host
from keras_deeptools.engine._data.samples import BatchPadding, padded
from keras_deeptools.engine._frozen_features.cut import FeatureCut
from keras_deeptools.engine._graph.calls import calls_of, producer
from keras_deeptools.engine._graph.execution import INPUTS, Steps, graph_of, run_steps
from keras_deeptools.engine._keras_private.layers import (
    flat_layers,
    held_states,
    take_any_inputs,
)
from keras_deeptools.engine._state.random_state import RandomState

TOLERANCE = 5e-3
"""Largest difference between equal samples, as a fraction of the largest value."""


class FeaturePass:
    """Computes features of batches, in training or at inference.

    Args:
        cut: `FeatureCut`.
        batch_size: Int >= 1, to which batches are padded, as each size is
            compiled; samples of other lengths or sizes than the first are not padded.
        training: Bool.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.engine._frozen_features.cut import FeatureCut
    >>> from keras_deeptools.engine._frozen_features.computation import FeaturePass
    >>> model = keras.Sequential(
    ...     [keras.Input((2,)), keras.layers.ReLU(), keras.layers.Dense(1)]
    ... )
    >>> run = FeaturePass(FeatureCut(model), batch_size=4)
    >>> with run.undone():
    ...     [value.tolist() for value in run(np.array([[-1.0, 2.0]])).values()]
    [[[0.0, 2.0]]]
    """

    def __init__(self, cut: FeatureCut, batch_size: int, training: bool = True) -> None:
        self._cut = cut
        self._batch_size = batch_size
        self._padding = BatchPadding(batch_size)
        # One compilation serves both where it makes no difference.
        mode = training and (cut.is_random or _has_custom_layers(cut))
        if mode not in cut.trunks:
            cut.trunks[mode] = _Trunk(cut, mode)
        self._trunk = cut.trunks[mode]

    @contextlib.contextmanager
    def undone(self, seed: int | None = None) -> Iterator[None]:
        """Puts back random states and whatever layers update, at the end of the block.

        Args:
            seed: Int, from which the random layers draw in the block, or None: from
                where they are.
        """
        before = RandomState()
        kept = [(v, on_host(v)) for v in [*self._cut.states, *_updatable(self._cut)]]
        try:
            if seed is not None:
                _reseed(self._cut.states, seed)
            yield
        finally:
            for variable, values in kept:
                variable.assign(values)
            before.restore()

    def __call__(self, x: Any) -> dict[str, np.ndarray]:
        """The features of a batch, and their masks.

        Raises:
            ValueError: If they do not have a sample for each sample of `x`.
        """
        num_rows = _num_rows(x)
        size = self._padding.size(x)
        found = self._trunk.predict_on_batch(padded(x, size))
        for value in found.values():
            if not value.shape or value.shape[0] != size:
                raise ValueError(
                    "cache_features: what crosses the cut must have a row for each row "
                    f"of `x`. Received: shape {value.shape} for a batch of {size} "
                    "rows. Keep what combines rows out of the model."
                )
        return {name: _storable(value[:num_rows]) for name, value in found.items()}

    def specs(self, x: Any) -> dict[str, tuple[tuple[int, ...], str]]:
        """Shape and dtype of one sample of each feature of `x`.

        They are found without computing the features, except for strings.
        """
        if any(a is not None and a.dtype.kind not in "biuf" for a in _leaves(x)):
            return {n: (v.shape[1:], str(v.dtype)) for n, v in self(x).items()}
        symbols = keras.tree.map_structure(
            lambda a: None if a is None else keras.KerasTensor(a.shape, str(a.dtype)), x
        )
        found = self._trunk.compute_output_spec(symbols)
        return {
            name: (tuple(value.shape[1:]), keras.backend.standardize_dtype(value.dtype))
            for name, value in found.items()
        }

    def oddity(self, x: Any) -> str | None:
        """Says which features of `x` depend on other samples, or returns None.

        It runs the batch twice, the second time with the first samples in place of
        others, which must give equal features.
        """
        half = min(_num_rows(x), self._batch_size) // 2
        if not half:
            return None
        start = _updates(self._cut)
        first = self(x)
        second = self(keras.tree.map_structure(lambda a: _doubled(a, half), x))
        if _updates(self._cut) != start:
            return "a layer updates variables of its own in training"
        for name, value in first.items():
            expected = value[:half].astype("float64")
            limit = TOLERANCE * np.max(np.abs(expected), initial=1e-30)
            for rows in (second[name][:half], second[name][half : 2 * half]):
                if not np.all(np.abs(rows - expected) <= limit):
                    return (
                        "a layer gives equal rows unequal features, so it draws at "
                        "random or combines rows"
                    )
        return None


class _Trunk(keras.Model):
    """The part before the cut as a separate model, which has `predict`."""

    def __init__(self, cut: FeatureCut, training: bool) -> None:
        super().__init__(name=f"{cut.model.name}_trunk")
        self._cut = weakref.ref(cut)
        self._before = list(cut.layers)
        self._training = training
        take_any_inputs(self)
        self.built = True

    def call(self, x: Any) -> dict[str, Any]:
        cut = self._cut()
        assert cut is not None
        return cut.features(as_tensors(x), self._training)


def as_tensors(x: Any) -> Any:
    """Arrays as tensors; models of one input in a list take nothing else."""
    return keras.tree.map_structure(
        lambda a: None if a is None else keras.ops.convert_to_tensor(a), x
    )


def _has_custom_layers(cut: FeatureCut) -> bool:
    """Whether a layer may behave in a custom way in training."""
    inside = [inner for layer in cut.layers for inner in flat_layers(layer)]
    return any(
        isinstance(layer, keras.layers.Lambda)
        or type(layer).__module__.partition(".")[0] not in ("keras", "keras_deeptools")
        for layer in inside
    )


def _updatable(cut: FeatureCut) -> list[Any]:
    """Variables that layers made to update themselves."""
    found = {
        id(variable): variable
        for layer in cut.layers
        for inner in flat_layers(layer)
        for variable in held_states(inner)
    }
    for state in cut.states:
        found.pop(id(state), None)
    return list(found.values())


def _updates(cut: FeatureCut) -> list[bytes]:
    return [on_host(variable).tobytes() for variable in _updatable(cut)]


def _reseed(states: list[Any], seed: int) -> None:
    """Gives every generator its own seed, by its position."""
    for place, state in enumerate(states):
        word = np.random.SeedSequence([seed, place]).generate_state(1)[0] >> 1
        state.assign(np.array([word, 0], dtype=str(state.dtype)))


def _num_rows(x: Any) -> int:
    return len(next(a for a in _leaves(x) if a is not None))


def _leaves(x: Any) -> list[Any]:
    return list(keras.tree.flatten(x))


def _doubled(a: Any, half: int) -> Any:
    return None if a is None else np.concatenate([a[:half], a[:half], a[2 * half :]])


def _storable(value: np.ndarray) -> np.ndarray:
    """As a kind of number that numpy's files know."""
    return value if value.dtype.kind in "biuf" else value.astype("float32")


class PooledOutputs(keras.Model):
    """A model from the same inputs to a list of vectors, one for each chosen call.

    Maps and sequences are averaged over all axes but the first and that of channels.
    Everything runs as at inference, also inside of nested models.

    Args:
        model: `keras.Model`, built, with a graph.
        positions: List of ints, the calls in `calls_of(model, wrapped=True)`.

    Raises:
        ValueError: If the model has no graph, or one inside has a `call` of its own.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.engine._frozen_features.computation import PooledOutputs
    >>> inner = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.ReLU()])
    >>> model = keras.Sequential([keras.Input((4, 4, 1)), inner])
    >>> pooled = PooledOutputs(model, [0, 1])
    >>> [value.tolist() for value in pooled.predict_on_batch(-np.ones((1, 4, 4, 1)))]
    [[[-1.0]], [[0.0]]]
    """

    def __init__(self, model: keras.Model, positions: list[int]) -> None:
        super().__init__(name=f"{model.name}_pooled")
        self._held = [model]
        take_any_inputs(self)
        self.built = True
        graph, calls = graph_of(model), calls_of(model, wrapped=True)
        if graph is None or calls is None:
            raise _refusal(model)
        inside = {id(layer) for layer in flat_layers(model)}
        steps = Steps(graph, inside, wrapped=True).steps
        run = [step for step in steps if step.operation is not None]
        inputs = [call for call in calls if _is_input(call.operation)]
        others = [i for i, call in enumerate(calls) if not _is_input(call.operation)]
        if [s.operation for s in run] != [calls[i].operation for i in others]:
            raise _refusal(model)
        slots = {i: step.outputs[0] for i, step in zip(others, run, strict=True)}
        layers = [id(producer(tensor)[0]) for tensor in graph.inputs]
        entries = dict(zip(layers, steps[0].outputs, strict=True))
        for call in inputs:
            slots[calls.index(call)] = entries[id(call.operation)]
        self._steps = (tuple(steps),)
        self._slots = [slots[position] for position in positions]
        self._padding: BatchPadding | None = None

    def call(self, x: Any) -> list[Any]:
        """A vector `(batch, channels)` for each chosen call."""
        values = run_steps(list(self._steps[0]), {INPUTS: as_tensors(x)}, self._slots)
        return [_pooled(values[slot]) for slot in self._slots]

    def on_rows(self, x: Any, batch_size: int) -> list[np.ndarray]:
        """The vectors of a batch of numpy arrays.

        Args:
            x: Inputs of the model.
            batch_size: Int, to which they are padded, as each size is compiled; samples
                of other lengths or sizes than the first are not padded.
        """
        num_rows = len(keras.tree.flatten(x)[0])
        if self._padding is None:
            self._padding = BatchPadding(batch_size)
        found = self.predict_on_batch(padded(x, self._padding.size(x)))
        return [np.asarray(value)[:num_rows] for value in found]


def _pooled(x: Any) -> Any:
    rank = len(x.shape)
    if rank == 1:
        return ops.expand_dims(ops.cast(x, "float32"), 1)
    first = rank > 3 and keras.config.image_data_format() == "channels_first"
    axes = tuple(range(2, rank)) if first else tuple(range(1, rank - 1))
    x = ops.cast(x, "float32")
    return ops.mean(x, axis=axes) if axes else x


def _is_input(operation: Any) -> bool:
    return isinstance(operation, keras.layers.InputLayer)


def _refusal(model: Any) -> ValueError:
    return ValueError(
        "PooledOutputs: `model` must have a graph, and so must the models inside. "
        f"Received: {type(model).__name__} {getattr(model, 'name', model)!r}."
    )
