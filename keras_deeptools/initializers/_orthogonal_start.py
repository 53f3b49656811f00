"""Orthonormal kernels, where LSUV starts in its paper."""

from typing import Any

import keras
import numpy as np


def orthonormal(kernel: Any, seed: int) -> np.ndarray:
    """An array of a kernel's shape with orthonormal columns, or rows if these are less.

    All axes but the last are taken as one, as Keras does. A kernel with a unit or
    channel multiplier of one at its end (depthwise) gets a unit vector per channel.

    Args:
        kernel: `keras.Variable` with at least two dimensions.
        seed: Int.

    Returns:
        Float32 array.
    """
    shape = tuple(kernel.shape)
    if len(shape) > 2 and kernel.name == "depthwise_kernel":
        drawn = np.random.default_rng(seed).normal(size=shape)
        taps = tuple(range(len(shape) - 2))
        norms = np.sqrt(np.square(drawn).sum(axis=taps, keepdims=True))
        return (drawn / norms).astype("float32")
    drawn = keras.initializers.Orthogonal(seed=seed)(shape, dtype="float32")
    return np.array(keras.ops.convert_to_numpy(drawn))
