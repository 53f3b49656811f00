"""The last operations before the outputs of a model, also if it has no graph."""

import contextlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras

from keras_deeptools.engine._graph.calls import graph_of_model, producer
from keras_deeptools.engine._keras_private.graph import (
    history_of,
    left_by_calls,
    node_of,
    output_structure,
)
from keras_deeptools.engine._keras_private.layers import (
    build_shapes,
    direct_layers,
    flat_layers,
)

Shape = tuple[int | None, ...]
LONGEST = 50
"""Operations that are followed back from an output."""


@dataclass(frozen=True, eq=False)
class OutputTail:
    """The last operations before an output of a model; made by `output_tails_of`.

    Attributes:
        name: Str. The key or name of the output, by which a dict of losses finds it.
        operations: List of tuples of a `keras.Operation` and the shape of what it
            returns, the last one first, as far back as each is fed by one tensor.
            The shape is None where it is not known.
    """

    name: str
    operations: list[tuple[Any, Shape | None]]


def output_tails_of(model: keras.Model) -> list[OutputTail]:
    """The tail of each output, in the order of the outputs.

    They are read from the graph. A built model without a graph, nested models and
    custom layers are called once on tensors that have a shape but no values: nothing is
    computed, and traces of the call in the layers are removed.

    Args:
        model: `keras.Model`.

    Returns:
        List of `OutputTail`; empty if the outputs cannot be determined.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._graph.output_tails import output_tails_of
    >>> model = keras.Sequential(
    ...     [keras.Input((4,)), keras.layers.Dense(3), keras.layers.Softmax()]
    ... )
    >>> [tail] = output_tails_of(model)
    >>> [(type(operation).__name__, shape) for operation, shape in tail.operations]
    [('Softmax', (None, 3)), ('Dense', (None, 3)), ('InputLayer', (None, 4))]
    """
    graph = graph_of_model(model)
    if graph is None and isinstance(model, keras.Sequential):
        # The model is not built, but the order of its layers is known.
        rows = [(layer, None) for layer in reversed(model.layers)]
        return [OutputTail(rows[0][0].name, list(rows))] if rows else []
    with _without_traces(model):
        try:
            outputs = _traced(model) if graph is None else output_structure(graph)
            return [
                OutputTail(name, list(_tail(tensor, [])))
                for name, tensor in _named(outputs, model)
            ]
        except Exception:  # The user's code may do anything with such a tensor.
            return []


def _named(outputs: Any, model: keras.Model) -> list[tuple[str, Any]]:
    """The tensors, with the names that a dict of losses has for them."""
    flat = keras.tree.flatten_with_path(outputs)
    tensors = [tensor for _, tensor in flat]
    names = [str(path[-1]) for path, _ in flat if path]
    if not isinstance(outputs, dict):
        names = list(getattr(model, "output_names", None) or [])
    if len(names) != len(tensors):
        names = [producer(tensor)[0].name for tensor in tensors]
    return list(zip(names, tensors, strict=True))


def _traced(model: keras.Model) -> Any:
    """The outputs of a model without a graph, as tensors that know their history."""
    shapes = build_shapes(model)
    if not model.built or not shapes:
        raise ValueError("The shapes of the inputs are not known.")

    def spec(shape: Shape) -> Any:
        return keras.KerasTensor((None, *shape[1:]))

    given = {
        name.removesuffix("_shape"): keras.tree.map_shape_structure(spec, shape)
        for name, shape in shapes.items()
    }
    positional = [given.popitem()[1]] if len(given) == 1 else []
    return model.call(*positional, **given, **_needed(model, len(positional), given))


def _needed(layer: Any, num_given: int, given: dict[str, Any]) -> dict[str, Any]:
    """`training` and `mask` for a `call` that has no defaults for them."""
    parameters = list(inspect.signature(layer.call).parameters.values())[num_given:]
    values = {"training": False, "mask": None}
    return {
        p.name: values[p.name]
        for p in parameters
        if p.name in values and p.default is p.empty and p.name not in given
    }


def _tail(tensor: Any, frames: list[dict[int, Any]]) -> Iterator[tuple[Any, Any]]:
    for _ in range(LONGEST):
        while frames and id(tensor) in frames[-1]:
            tensor = frames.pop()[id(tensor)]
        history = history_of(tensor)
        if history is None or history[0] is None:
            return
        operation, node_index, place = history
        node = node_of(operation, node_index)
        inner, given = _inside(operation, node)
        if inner is not None:
            frames.append(given)
            tensor = inner[place]
            continue
        yield operation, tuple(tensor.shape)
        if len(node.input_tensors) != 1:
            return
        tensor = node.input_tensors[0]


def _inside(operation: Any, node: Any) -> tuple[list[Any] | None, dict[int, Any]]:
    """The outputs inside a nested model, and what feeds its inputs from outside."""
    graph = graph_of_model(operation)
    if graph is not None:
        pairs = zip(graph.inputs, node.input_tensors, strict=False)
        return list(graph.outputs), {id(inner): outer for inner, outer in pairs}
    own = not type(operation).__module__.startswith("keras.")
    if own and direct_layers(operation) and operation.built:
        arguments = node.arguments
        kwargs = dict(arguments.kwargs)
        kwargs |= _needed(operation, len(arguments.args), kwargs)
        # A user's `call` may do anything with such a tensor; the layer is then the end.
        with contextlib.suppress(Exception):
            outputs = keras.tree.flatten(operation.call(*arguments.args, **kwargs))
            if all(history_of(tensor) is not None for tensor in outputs):
                return outputs, {}
    return None, {}


@contextlib.contextmanager
def _without_traces(model: keras.Model) -> Iterator[None]:
    """Takes away what symbolic calls leave in layers."""
    holders = [held for layer in flat_layers(model) for held in left_by_calls(layer)]
    lengths = [len(holder) for holder in holders]
    try:
        with keras.StatelessScope():
            yield
    finally:
        for holder, length in zip(holders, lengths, strict=True):
            del holder[length:]
