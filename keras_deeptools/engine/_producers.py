"""The graph of a functional model, walked from its outputs."""

from typing import Any

import keras

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


def moves_values(operation: Any) -> bool:
    """Whether the activation of an output is to be looked for before an operation.

    Args:
        operation: `keras.Layer` or `keras.Operation`.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine import moves_values
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
    """Name of the activation that a tensor comes from, or of what else gives it.

    Nested models and wrappers are looked into, and what only moves values is passed
    over.

    Args:
        tensor: Tensor, symbolic or not.

    Returns:
        Str such as `"softmax"`, `"linear"` or `"a LSTM"`; None for a tensor that does
        not know where it comes from.

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
    operation, inputs = producer(tensor)
    kind = type(operation).__name__
    if moves_values(operation) and inputs:
        before = final_activation(inputs[0])
        keeps_rows = tensor.shape[-1:] == inputs[0].shape[-1:]
        # Of a part of a softmax, or of its columns, the rows do not add up to 1.
        return before if keeps_rows or before != "softmax" else f"a {kind}"
    while isinstance(operation, keras.layers.Wrapper | keras.layers.Bidirectional):
        operation = getattr(operation, "forward_layer", None) or operation.layer
    outputs = getattr(operation, "outputs", None) or []
    if isinstance(operation, keras.Model) and history.tensor_index < len(outputs):
        return final_activation(outputs[history.tensor_index])
    last = (-1, len(tensor.shape) - 1)
    if isinstance(operation, keras.layers.Concatenate):
        found = {final_activation(each) for each in inputs}
        # Several softmax rows beside each other add up to more than 1.
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
