"""Weights without randomness: identities and Hadamard matrices."""

from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import message
from keras_deeptools.initializers._gain import checked_gain
from keras_deeptools.initializers._kernel import as_tensor


@keras.saving.register_keras_serializable(package="keras_deeptools")
class ZerO(keras.initializers.Initializer):
    """Kernel of zeros and ones, or a Hadamard matrix where a layer widens.

    Layers that keep or reduce the number of features start as a (partial) identity.
    Layers that widen start as a part of a Hadamard matrix, which breaks the symmetry
    that a padded identity would leave. The initializer is deterministic: two runs start
    with equal weights. It is meant for networks with skip connections; in the paper,
    the last layer of a residual branch and the classifier start at `"zeros"`. In a
    convolution, the matrix is at the centre of the kernel.

    The Hadamard matrix is scaled to be orthonormal, so norms are preserved.

    Args:
        gain: Float > 0. Factor of the matrix.

    Raises:
        TypeError: If `gain` is not a number.
        ValueError: If `gain` is not > 0; when called, for a kernel of fewer than two
            dimensions.

    Example:

    >>> import numpy as np
    >>> from keras_deeptools.initializers import ZerO
    >>> np.asarray(ZerO()((3, 2))).tolist()
    [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]
    >>> np.asarray(ZerO()((2, 4))).tolist()
    [[0.5, 0.5, 0.5, 0.5], [0.5, -0.5, 0.5, -0.5]]

    Reference:
        Zhao et al., 2022, algorithm 1. https://arxiv.org/abs/2110.12661
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = checked_gain(type(self).__name__, gain)

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        """Make a kernel `(*window, inputs, outputs)`, in Keras' dtype by default."""
        shape = tuple(shape)
        if len(shape) < 2:
            rule = "that of a kernel, with at least two dimensions"
            raise ValueError(message(type(self).__name__, "shape", rule, shape))
        inputs, outputs = shape[-2:]
        values = np.zeros(shape)
        centre = tuple((size - 1) // 2 for size in shape[:-2])
        values[centre] = np.eye(inputs, outputs)
        if outputs > inputs:
            values[centre] = _hadamard(outputs)[:inputs, :outputs]
        return as_tensor(self.gain * values, dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {"gain": self.gain}


def _hadamard(size: int) -> np.ndarray:
    """Orthonormal Hadamard matrix of the next power of two (Sylvester)."""
    matrix = np.ones((1, 1))
    while len(matrix) < size:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]]) / np.sqrt(2)
    return matrix
