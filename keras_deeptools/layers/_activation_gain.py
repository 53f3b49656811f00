"""The factor that gives an activation's output variance 1."""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_deeptools.layers._argument_checks import message

LIMIT, POINTS = 12.0, 48_001


def unit_variance_gain(owner: str, activation: Callable[[Any], Any]) -> float:
    """`1 / std f(z)` for a standard normal `z`, by the trapezoidal rule.

    Args:
        owner: Str. Whom an error names.
        activation: Function of a tensor, element by element.

    Raises:
        ValueError: If the activation is constant or not finite.
    """
    z = np.linspace(-LIMIT, LIMIT, POINTS)
    density = np.exp(-np.square(z) / 2) / math.sqrt(2 * math.pi) * (z[1] - z[0])
    points = keras.ops.convert_to_tensor(z, "float32")
    values = keras.ops.convert_to_numpy(activation(points)).astype("float64")
    mean = float(values @ density)
    variance = float(np.square(values - mean) @ density)
    if not (math.isfinite(variance) and variance > 1e-12):
        rule = "an elementwise function that varies with its input"
        raise ValueError(message(owner, "activation", rule, activation))
    return 1 / math.sqrt(variance)
