"""The loss that fits the last activation of a model, and its targets."""

from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import message
from keras_deeptools.engine import producer

PASSING = (
    keras.layers.Dropout,
    keras.layers.Flatten,
    keras.layers.Identity,
    keras.layers.Reshape,
)
"""What can stand between an activation and the output."""


def chosen_loss(owner: str, model: keras.Model, y: Any) -> str:
    """Name of the cross-entropy for a model that ends in softmax or sigmoid.

    Softmax with integers, one for each row: `"sparse_categorical_crossentropy"`; with
    targets in the shape of the outputs: `"categorical_crossentropy"`. Sigmoid:
    `"binary_crossentropy"`. Nothing else says by itself what it is trained for.

    Args:
        owner: Str. Who is named in errors.
        model: `keras.Model`.
        y: Targets, or a batch of them.

    Raises:
        ValueError: If nothing can be told.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.transfer._chosen_loss import chosen_loss
    >>> head = keras.layers.Dense(3, "softmax")
    >>> model = keras.Sequential([keras.Input((2,)), head])
    >>> chosen_loss("fine_tune", model, np.array([0, 2, 1]))
    'sparse_categorical_crossentropy'
    """
    outputs = getattr(model, "outputs", None) or []
    if len(outputs) != 1:
        raise _untold(owner, "the model has no graph, or several outputs")
    activation = _last_activation(outputs[0])
    if activation == "sigmoid":
        return "binary_crossentropy"
    if activation != "softmax":
        raise _untold(owner, f"the model ends in {activation}")
    shape = tuple(np.shape(y))
    kind = np.asarray(y).dtype.kind
    if len(shape) == len(outputs[0].shape) and shape[-1] == outputs[0].shape[-1]:
        return "categorical_crossentropy"
    if kind in "iu" and shape[1:] in ((), (1,)):
        return "sparse_categorical_crossentropy"
    raise _untold(owner, f"`y` is of dtype {np.asarray(y).dtype} and shape {shape}")


def _untold(owner: str, why: str) -> ValueError:
    rule = "given, as the model is not compiled and its end does not tell"
    remedy = f"It can be told from softmax or sigmoid, but {why}."
    return ValueError(message(owner, "loss", rule, None, remedy))


def _last_activation(tensor: Any) -> str:
    """Name of the activation that gives the output."""
    operation, inputs = producer(tensor)
    while isinstance(operation, PASSING) and len(inputs) == 1:
        operation, inputs = producer(inputs[0])
    if isinstance(operation, keras.Model) and getattr(operation, "outputs", None):
        return _last_activation(operation.outputs[0])
    if isinstance(operation, keras.layers.Softmax):
        return "softmax"
    activation = getattr(operation, "activation", None)
    if callable(activation):
        return getattr(activation, "__name__", type(activation).__name__)
    return f"a {type(operation).__name__}"
