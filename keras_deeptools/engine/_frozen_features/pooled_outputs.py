"""What calls inside a model give, averaged over space, in one pass."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_deeptools.engine._data.predict_rows import BatchPadding, padded
from keras_deeptools.engine._frozen_features.computation import as_tensors
from keras_deeptools.engine._graph.calls import calls_of, producer
from keras_deeptools.engine._graph.execution import INPUTS, Steps, graph_of, run_steps
from keras_deeptools.engine._keras_private.layers import flat_layers, take_any_inputs


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
    >>> from keras_deeptools.engine._frozen_features.pooled_outputs import PooledOutputs
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
            batch_size: Int, to which they are padded, as each size is compiled; rows of
                other lengths or sizes than the first are not.
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
