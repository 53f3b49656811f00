"""Singular values of the Jacobians between layers and the outputs of a model."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_deeptools.engine import Capture

MOST_OUTPUTS = 256


def output_jacobians(model: keras.Model, x: Any) -> dict[str, np.ndarray]:
    """Singular values of d outputs / d pre-activations, for each row by itself.

    Takes one backward pass for each output unit.

    Args:
        model: Built `keras.Model` with one output.
        x: Rows to take it for.

    Returns:
        Dict from the name of a call of a layer that holds variables to a float64 array
        `(rows, k)`, falling along `k`, the smaller of the numbers of output units and
        of the layer's.

    Raises:
        ValueError: If there are several outputs, or too many units.
    """
    outputs = model(keras.tree.map_structure(ops.convert_to_tensor, x), training=False)
    if keras.tree.is_nested(outputs):
        raise ValueError(
            "signal_propagation: for Jacobians the model must have one output. "
            f"Received: a {type(outputs).__name__}. Make a model of one of them."
        )
    rows = outputs.shape[0]
    size = int(np.prod(outputs.shape[1:]))
    if size > MOST_OUTPUTS:
        raise ValueError(
            f"signal_propagation: for Jacobians the output must have at most "
            f"{MOST_OUTPUTS} units. Received: {size}, which takes as many passes. Make "
            "a model that ends in fewer."
        )
    capture = Capture(
        model,
        backward=lambda call, gradient: gradient,
        loss=lambda chosen, predicted: ops.sum(chosen * predicted),
    )
    found: dict[str, list[np.ndarray]] = {}
    for unit in np.eye(size, dtype="float32"):
        chosen = np.broadcast_to(unit, (rows, size)).reshape(outputs.shape)
        captured = capture(x, chosen)
        for call, gradient in zip(captured.calls, captured.backward, strict=True):
            if gradient is not None:
                found.setdefault(call.name, []).append(gradient.reshape(rows, -1))
    return {
        name: np.linalg.svd(
            np.stack(gradients, axis=1).astype("float64"), compute_uv=False
        )
        for name, gradients in found.items()
    }
