"""Convolutions that start as an orthogonal map of each pixel."""

from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import message
from keras_deeptools.initializers._gain import checked_gain
from keras_deeptools.initializers._kernel import as_tensor, orthogonal, started


@keras.saving.register_keras_serializable(package="keras_deeptools")
class DeltaOrthogonal(keras.initializers.Initializer):
    """Convolution kernel that is orthogonal at its centre and zero elsewhere.

    With stride 1 and `padding="same"` the layer keeps the norm of its input exactly,
    edges included, which let Xiao et al. train 10,000 plain tanh layers. It is meant
    for Conv1D, Conv2D and Conv3D with one group and at least as many filters as
    channels.

    Args:
        gain: Float > 0. Factor of the norm.
        seed: Int >= 0 or None. As in `FanScaling`; every call draws new numbers.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is outside its range; when called, for a kernel of
            fewer than three dimensions or with fewer filters than input channels.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.initializers import DeltaOrthogonal
    >>> conv = keras.layers.Conv2D(
    ...     8, 3, padding="same", kernel_initializer=DeltaOrthogonal(seed=0))
    >>> x = np.random.default_rng(0).normal(size=(2, 5, 5, 4)).astype("float32")
    >>> y = keras.ops.convert_to_numpy(conv(x))
    >>> bool(np.isclose(np.linalg.norm(y), np.linalg.norm(x)))
    True

    Reference:
        Xiao et al., 2018, section 4 and algorithm 1. https://arxiv.org/abs/1806.05393
    """

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        owner = type(self).__name__
        self.gain = checked_gain(owner, gain)
        self._stream = started(owner, seed)
        self.seed = None if seed is None else self._stream

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        """Draw a kernel `(*window, channels, filters)`, in Keras' dtype by default."""
        shape = tuple(shape)
        owner = type(self).__name__
        if len(shape) < 3:
            rule = "that of a convolution kernel, with at least three dimensions"
            remedy = "Use ScaledOrthogonal for matrices."
            raise ValueError(message(owner, "shape", rule, shape, remedy))
        if shape[-2] > shape[-1]:
            rule = "of a kernel with at least as many filters as input channels"
            remedy = "Use ScaledOrthogonal where a layer narrows."
            raise ValueError(message(owner, "shape", rule, shape, remedy))
        values = np.zeros(shape)
        centre = tuple((size - 1) // 2 for size in shape[:-2])
        rng = self._stream.generator()
        values[centre] = self.gain * orthogonal(shape[-2], shape[-1], rng)
        return as_tensor(values, dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {"gain": self.gain, "seed": self.seed}
