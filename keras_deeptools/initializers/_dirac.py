"""Convolutions that begin as the identity."""

from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import checked_count, message
from keras_deeptools.initializers._gain import checked_gain
from keras_deeptools.initializers._kernel import as_tensor


@keras.saving.register_keras_serializable(package="keras_deeptools")
class Dirac(keras.initializers.Initializer):
    """Kernel with which a convolution passes its input channels on unchanged.

    The centre of the kernel is an identity, and all else is zero; with `padding="same"`
    and a stride of 1 the outputs are the inputs, so that a deep stack begins as one
    linear layer. Output channels beyond the number of inputs begin at zero: for a
    layer that widens, `ZerO` breaks the symmetry that this leaves. A dense layer begins
    as the identity, too. Equal to torch's `dirac_` where the sides of the kernel are
    odd; where they are even, the centre is Keras' for `padding="same"`.

    Args:
        gain: Float > 0. Factor of the identity.
        groups: Int >= 1. The `groups` of the convolution: each passes its own channels
            on.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is out of range; when called, for a kernel of fewer
            than two dimensions, or if `groups` does not divide its outputs.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.initializers import Dirac
    >>> conv = keras.layers.Conv1D(2, 3, padding="same", kernel_initializer=Dirac())
    >>> x = np.arange(8.0).reshape(1, 4, 2)
    >>> bool((keras.ops.convert_to_numpy(conv(x)) == x).all())
    True

    Reference:
        Zagoruyko & Komodakis, 2017, section 3. https://arxiv.org/abs/1706.00388
    """

    def __init__(self, gain: float = 1.0, groups: int = 1) -> None:
        self.gain = checked_gain(type(self).__name__, gain)
        self.groups = checked_count(type(self).__name__, "groups", groups)

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        """Make a kernel `(*window, inputs, outputs)`, in Keras' dtype by default."""
        shape = tuple(shape)
        if len(shape) < 2 or shape[-1] % self.groups:
            rule = f"of two dimensions or more, outputs a multiple of {self.groups}"
            raise ValueError(message(type(self).__name__, "shape", rule, shape))
        values = np.zeros(shape)
        centre = tuple((size - 1) // 2 for size in shape[:-2])
        eye = np.eye(shape[-2], shape[-1] // self.groups)
        values[centre] = np.tile(eye, self.groups)
        return as_tensor(self.gain * values, dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {"gain": self.gain, "groups": self.groups}
