"""The calls that make up a model, read from its graph."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras

from keras_deeptools.engine._keras_private.graph import (
    functional_in,
    has_graph,
    history_of,
    input_structure,
    node_of,
    nodes_in_order,
)


@dataclass(frozen=True, eq=False)
class Call:
    """One use of a layer or operation in a functional graph; made by `calls_of`.

    Attributes:
        operation: `keras.Layer` or `keras.Operation` that is called.
        parents: Tuple of ints, the positions of the calls that it gets tensors from;
            one that gives several of them is listed several times.
        training: Bool, what the call was given as `training=`; None where it was given
            nothing. For layers whose default is False, such as `Dropout`, False can be
            either.
        shape: Tuple, the static shape of the first output.
        enclosing: Tuple of `Call`, the calls of nested models that this one is in,
            outermost first.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._graph.calls import calls_of
    >>> inputs = keras.Input((4,))
    >>> model = keras.Model(inputs, keras.layers.Dropout(0.5)(inputs, training=True))
    >>> [(call.parents, call.training) for call in calls_of(model)]
    [((), None), ((0,), True)]
    """

    operation: Any
    parents: tuple[int, ...]
    training: bool | None
    shape: tuple[int | None, ...]
    enclosing: tuple["Call", ...] = ()


def calls_of(model: keras.Model, wrapped: bool = False) -> list[Call] | None:
    """The calls of a functional model in the order of computation.

    Nested functional models are entered: their calls stand among the others, with the
    nested model's call in `enclosing`. A layer that is called several times is listed
    several times. What happens inside a subclassed model or layer cannot be seen: it
    is one call.

    Args:
        model: `keras.Model`.
        wrapped: Bool, whether functional models inside of `transfer.InferenceMode` are
            entered, too.

    Returns:
        List of `Call`, or None for a model without a graph: one that is subclassed, or
        a Sequential that has not been built.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._graph.calls import calls_of
    >>> inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    >>> model = keras.Sequential([keras.Input((4,)), inner, keras.layers.ReLU()])
    >>> [type(call.operation).__name__ for call in calls_of(model)]
    ['InputLayer', 'Dense', 'ReLU']
    """
    graph = graph_of_model(model)
    if graph is None:
        return None
    calls: list[Call] = []
    _walk(graph, None, calls, (), wrapped)
    return calls


def output_calls_of(model: keras.Model, wrapped: bool = False) -> list[int] | None:
    """The positions in `calls_of(model)` of the calls that give the model's outputs.

    Args:
        model: `keras.Model`.
        wrapped: Bool, as in `calls_of`.

    Returns:
        List of ints, one for each output, or None for a model without a graph.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._graph.calls import output_calls_of
    >>> inputs = keras.Input((4,))
    >>> hidden = keras.layers.Dense(3)(inputs)
    >>> model = keras.Model(inputs, [hidden, keras.layers.ReLU()(hidden)])
    >>> output_calls_of(model)
    [1, 2]
    """
    graph = graph_of_model(model)
    return None if graph is None else _walk(graph, None, [], (), wrapped)


def unwrapped(operation: Any) -> Any:
    """The content of a wrapper that always runs as at inference; else the operation."""
    while getattr(operation, "always_at_inference", False):
        operation = operation.layer
    return operation


def calls_in_a_row(model: keras.Model) -> list[Call] | None:
    """The calls that a Sequential will have when it is built: its layers in order.

    Shapes are not known yet, but for the number of units of a dense layer.

    Args:
        model: `keras.Model`.

    Returns:
        List of `Call`, or None where `model` is no Sequential that is not built.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._graph.calls import calls_in_a_row
    >>> model = keras.Sequential([keras.layers.Dense(3), keras.layers.ReLU()])
    >>> [call.parents for call in calls_in_a_row(model)]
    [(), (0,)]
    """
    if not isinstance(model, keras.Sequential) or graph_of_model(model) is not None:
        return None
    calls: list[Call] = []
    _append_row(model, calls, ())
    return calls


def _append_row(
    model: keras.Sequential, calls: list[Call], enclosing: tuple[Call, ...]
) -> None:
    for layer in model.layers:
        before = (len(calls) - 1,) if calls else ()
        units = getattr(layer, "units", None)
        shape = (None, units) if isinstance(units, int) else ()
        call = Call(layer, before, None, shape, enclosing)
        if isinstance(layer, keras.Sequential) and graph_of_model(layer) is None:
            _append_row(layer, calls, (*enclosing, call))
        elif graph_of_model(layer) is not None:
            last = _walk(
                graph_of_model(layer), before or None, calls, (*enclosing, call)
            )
            if last[:1] != [len(calls) - 1]:
                # What follows gets its inputs from the first output.
                calls.append(Call(keras.layers.Identity(), (last[0],), None, ()))
        else:
            calls.append(call)


def graph_of_model(model: Any) -> Any | None:
    """The functional graph of a model, None for anything else."""
    if isinstance(model, keras.Sequential):
        return functional_in(model)
    return model if has_graph(model) else None


def _walk(
    graph: Any,
    given: Sequence[int] | None,
    calls: list[Call],
    enclosing: tuple[Call, ...],
    wrapped: bool = False,
) -> list[int]:
    """Append the calls of `graph`; the positions of those that give its outputs.

    `given` are the positions of the calls that give its inputs, None at the top.
    """
    source: dict[int, int] = {}
    if given is not None:
        source = {
            id(tensor): position
            for tensor, position in zip(graph.inputs, given, strict=False)
        }
    for node in nodes_in_order(graph):
        if all(id(tensor) in source for tensor in node.outputs):
            continue
        parents = tuple(source[id(t)] for t in node.arguments.keras_tensors)
        call = Call(
            operation=node.operation,
            parents=parents,
            training=node.arguments.kwargs.get("training"),
            shape=tuple(node.outputs[0].shape),
            enclosing=enclosing,
        )
        inner = graph_of_model(unwrapped(node.operation) if wrapped else node.operation)
        if inner is None:
            calls.append(call)
            positions = [len(calls) - 1] * len(node.outputs)
        else:
            positions = _walk(inner, list(parents), calls, (*enclosing, call), wrapped)
        for tensor, position in zip(node.outputs, positions, strict=False):
            source[id(tensor)] = position
    return [source[id(tensor)] for tensor in graph.outputs]


MOVING = {
    "AlphaDropout",
    "AveragePooling1D",
    "AveragePooling2D",
    "AveragePooling3D",
    "Cast",
    "Cropping1D",
    "Cropping2D",
    "Cropping3D",
    "Dropout",
    "ExpandDims",
    "Flatten",
    "GetItem",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalAveragePooling3D",
    "Identity",
    "Moveaxis",
    "Permute",
    "RepeatVector",
    "Reshape",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "Squeeze",
    "Swapaxes",
    "Transpose",
    "UpSampling1D",
    "UpSampling2D",
    "UpSampling3D",
}
"""Layers and operations of Keras that move values, or average them."""


def producer(tensor: Any) -> tuple[keras.Operation, list[Any]]:
    """The layer or operation that made a symbolic tensor, and what it made it from.

    Args:
        tensor: `keras.KerasTensor` of a functional model.

    Returns:
        The `keras.Operation` and a list of symbolic tensors, empty for an input.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._graph.calls import producer
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="a")])
    >>> layer, inputs = producer(model.outputs[0])
    >>> layer.name, inputs[0].shape
    ('a', (None, 2))
    """
    history = history_of(tensor)
    assert history is not None
    operation, node, _ = history
    return operation, list(node_of(operation, node).input_tensors)


def submodel(model: keras.Model, outputs: Any) -> keras.Model:
    """A model from the same inputs to tensors in between, with the same layers.

    Args:
        model: `keras.Model`, functional or a built Sequential.
        outputs: `keras.KerasTensor` of its graph, or a structure of them.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._graph.calls import producer, submodel
    >>> model = keras.Sequential(
    ...     [keras.Input((2,)), keras.layers.Dense(3), keras.layers.Dense(1)]
    ... )
    >>> _, inputs = producer(model.outputs[0])
    >>> submodel(model, inputs[0]).output_shape
    (None, 3)
    """
    graph = functional_in(model) or model
    return keras.Model(input_structure(graph), outputs)


def moves_values(operation: Any) -> bool:
    """Whether the activation of an output is to be looked for before an operation.

    Args:
        operation: `keras.Layer` or `keras.Operation`.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._graph.calls import moves_values
    >>> moves_values(keras.layers.Reshape((2, 3)))
    True
    >>> moves_values(keras.layers.Conv2DTranspose(1, 3))
    False
    """
    if isinstance(operation, keras.layers.Activation):
        # What makes float32 of a half-precision output.
        return operation.activation is keras.activations.linear
    kinds = [each for each in type(operation).__mro__ if _is_of_keras(each)]
    return any(kind.__name__ in MOVING for kind in kinds)


def final_activation(tensor: Any) -> str | None:
    """Name of the activation that a tensor comes from, or of another operation.

    Nested models and wrappers are entered, and operations that only move values are
    skipped.

    Args:
        tensor: Tensor, symbolic or not.

    Returns:
        Str such as `"softmax"`, `"linear"` or `"a LSTM"`; None for a tensor that does
        not know where it comes from.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._graph.calls import final_activation
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, "sigmoid")])
    >>> final_activation(model.outputs[0])
    'sigmoid'
    """
    history = history_of(tensor)
    if history is None:
        return None
    operation, inputs = producer(tensor)
    kind = type(operation).__name__
    if moves_values(operation) and inputs:
        before = final_activation(inputs[0])
        keeps_rows = tensor.shape[-1:] == inputs[0].shape[-1:]
        # The probabilities in a part of a softmax do not add up to 1.
        return before if keeps_rows or before != "softmax" else f"a {kind}"
    while isinstance(operation, keras.layers.Wrapper | keras.layers.Bidirectional):
        operation = getattr(operation, "forward_layer", None) or operation.layer
    outputs = getattr(operation, "outputs", None) or []
    if isinstance(operation, keras.Model) and history[2] < len(outputs):
        return final_activation(outputs[history[2]])
    last = (-1, len(tensor.shape) - 1)
    if isinstance(operation, keras.layers.Concatenate):
        found = {final_activation(each) for each in inputs}
        # Several softmax outputs next to each other add up to more than 1.
        if len(found) == 1 and not (operation.axis in last and found == {"softmax"}):
            return found.pop()
    kind = type(operation).__name__
    if kind == "Softmax" and getattr(operation, "axis", -1) not in last:
        return f"a {kind} over axis {operation.axis}"
    if _is_of_keras(type(operation)) and kind in ("Sigmoid", "Softmax"):
        return kind.lower()
    activation = getattr(operation, "activation", None)
    if isinstance(activation, keras.layers.Softmax):
        return "softmax"
    if callable(activation):
        return getattr(activation, "__name__", type(activation).__name__)
    return f"a {kind}"


def _is_of_keras(kind: type) -> bool:
    return kind.__module__.startswith("keras.")
