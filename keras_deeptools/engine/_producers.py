"""The graph of a functional model, walked from its outputs."""

from typing import Any

import keras


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
