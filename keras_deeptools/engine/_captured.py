"""What a pass over a model has brought back."""

from dataclasses import dataclass
from typing import Any

from keras_deeptools.engine._layer_calls import LayerCall


@dataclass(frozen=True, eq=False)
class Captured:
    """What one pass brought back. Made by `Capture`.

    Attributes:
        calls: List of `LayerCall`, in the order in which they returned.
        forward: List of what `forward` returned for each call, with numpy arrays.
        backward: List of what `backward` returned for each call, None for layers
            without variables; empty without a backward pass.
        weights: Dict from the path of each trainable variable to what `weights`
            returned; empty without a backward pass.
        loss: Float, the mean loss of the batch; None without a backward pass.
        received: List of what `received` returned for each call, None for layers
            without variables.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.engine import Capture
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.ReLU(name="relu")])
    >>> captured = Capture(model, forward=lambda call, pre, out: out)(-np.ones((1, 2)))
    >>> captured.forward[0].tolist()
    [[0.0, 0.0]]
    """

    calls: list[LayerCall]
    forward: list[Any]
    backward: list[Any]
    weights: dict[str, Any]
    loss: float | None
    received: list[Any]
