"""Orthonormal kernels, where LSUV starts in its paper."""

from typing import Any

import numpy as np


def orthonormal(kernel: Any, seed: int) -> np.ndarray:
    """An array of a kernel's shape with orthonormal columns, or rows if these are less.

    All axes but the last are taken as one, as Keras' `Orthogonal` does; drawn with
    numpy, because backends compile a decomposition for every shape. A depthwise kernel
    gets a unit vector per channel.

    Args:
        kernel: `keras.Variable` with at least two dimensions.
        seed: Int.

    Returns:
        Float32 array.

    Reference:
        Saxe et al., 2014. https://arxiv.org/abs/1312.6120
    """
    shape = tuple(kernel.shape)
    random = np.random.default_rng(seed)
    if kernel.name == "depthwise_kernel":
        drawn = random.normal(size=shape)
        taps = tuple(range(len(shape) - 2))
        norms = np.sqrt(np.square(drawn).sum(axis=taps, keepdims=True))
        return (drawn / norms).astype("float32")
    rows, columns = int(np.prod(shape[:-1])), shape[-1]
    drawn = random.normal(size=(max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(drawn)
    # With these signs the draw is uniform over all orthogonal matrices.
    q = q * np.sign(np.diag(r))
    return (q if rows >= columns else q.T).reshape(shape).astype("float32")
