"""The graph of a functional model, walked from its outputs."""

from typing import Any

import keras

MOVING = (
    keras.layers.Activation,
    keras.layers.Concatenate,
    keras.layers.Flatten,
    keras.layers.Identity,
    keras.layers.Permute,
    keras.layers.Reshape,
)
"""Layers that change no value, an `Activation` if it is linear."""


def producer(tensor: Any) -> tuple[keras.Operation, list[Any]]:
    """The layer or operation that made a symbolic tensor, and what it made it from.

    Args:
        tensor: `keras.KerasTensor` of a functional model.

    Returns:
        The `keras.Operation` and a list of symbolic tensors, empty for an input.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine import producer
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="a")])
    >>> layer, inputs = producer(model.outputs[0])
    >>> layer.name, inputs[0].shape
    ('a', (None, 2))
    """
    operation, node, _ = tensor._keras_history
    return operation, list(operation._inbound_nodes[node].input_tensors)


def submodel(model: keras.Model, outputs: Any) -> keras.Model:
    """A model from the same inputs to tensors in between, with the same layers.

    Args:
        model: `keras.Model`, functional or a built Sequential.
        outputs: `keras.KerasTensor` of its graph, or a structure of them.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine import producer, submodel
    >>> model = keras.Sequential(
    ...     [keras.Input((2,)), keras.layers.Dense(3), keras.layers.Dense(1)]
    ... )
    >>> _, inputs = producer(model.outputs[0])
    >>> submodel(model, inputs[0]).output_shape
    (None, 3)
    """
    functional = getattr(model, "_functional", model)
    return keras.Model(functional._inputs_struct, outputs)


def final_activation(tensor: Any) -> str | None:
    """`"sigmoid"` or `"softmax"` where a symbolic tensor comes from one, else None.

    Nested models are looked into, and layers that only move values are passed over.

    Args:
        tensor: Tensor, symbolic or not.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine import final_activation
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, "sigmoid")])
    >>> final_activation(model.outputs[0])
    'sigmoid'
    """
    history = getattr(tensor, "_keras_history", None)
    if history is None:
        return None
    operation = history.operation
    if isinstance(operation, keras.Model):
        outputs = getattr(operation, "outputs", None) or []
        if history.tensor_index >= len(outputs):
            return None
        return final_activation(outputs[history.tensor_index])
    if isinstance(operation, keras.layers.TimeDistributed):
        operation = operation.layer
    name = type(operation).__name__.lower()
    if name not in ("sigmoid", "softmax"):
        name = getattr(getattr(operation, "activation", None), "__name__", "linear")
    if name != "linear" or not isinstance(operation, MOVING):
        return name if name in ("sigmoid", "softmax") else None
    found = {final_activation(each) for each in producer(tensor)[1]}
    return found.pop() if len(found) == 1 else None
