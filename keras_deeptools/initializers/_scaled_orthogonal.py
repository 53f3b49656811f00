"""Orthogonal kernels: of any layer, and of the centre of a convolution."""

from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import message
from keras_deeptools.initializers._fan_scaling import FanScaling, checked_gain
from keras_deeptools.initializers._kernel import Kernel, as_tensor, orthogonal, started


@keras.saving.register_keras_serializable(package="keras_deeptools")
class ScaledOrthogonal(FanScaling):
    """Kernel with orthonormal rows or columns, scaled to keep variance.

    `keras.initializers.Orthogonal` loses variance in a layer that widens (outputs have
    `inputs / outputs` of it), and takes the gates of a recurrent kernel for one matrix.
    Here every block, a gate, a group or a channel of a depthwise kernel, is a matrix
    from all the inputs of one output to the outputs, and its entries have mean square
    `gain ** 2 / fan` as in `FanScaling`. For `"fan_in"` and a matrix that does not
    widen, that is the gain times orthonormal columns.

    Args:
        gain: Float > 0. What outputs are scaled by, as `gain(activation)` returns.
        kind: Str or None. As in `FanScaling`.
        mode: Str. `"fan_in"`, `"fan_out"` or `"fan_avg"`.
        groups: Int >= 1. Groups of a convolution; gates of a recurrent kernel.
        strides: Int >= 1 or tuple of ints. Strides of a convolution.
        input_axes: List of ints or None. As in `FanScaling`.
        output_axes: List of ints or None. As in `FanScaling`.
        seed: Int >= 0 or None. As in `FanScaling`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is outside its range.

    Example:

    >>> import numpy as np
    >>> from keras_deeptools.initializers import ScaledOrthogonal
    >>> kernel = np.asarray(ScaledOrthogonal(kind="recurrent", groups=4)((8, 32)))
    >>> forget_gate = kernel[:, 8:16]
    >>> bool(np.allclose(forget_gate.T @ forget_gate, np.eye(8), atol=1e-5))
    True

    Reference:
        Saxe et al., 2014, section 3. https://arxiv.org/abs/1312.6120
    """

    def __init__(
        self,
        gain: float = 1.0,
        kind: str | None = None,
        mode: str = "fan_in",
        groups: int = 1,
        strides: int | tuple[int, ...] = 1,
        input_axes: list[int] | tuple[int, ...] | None = None,
        output_axes: list[int] | tuple[int, ...] | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(
            gain,
            kind,
            mode,
            groups=groups,
            strides=strides,
            input_axes=input_axes,
            output_axes=output_axes,
            seed=seed,
        )

    def draw(self, kernel: Kernel, rng: np.random.Generator) -> np.ndarray:
        """Draw the values for a `kernel` from `rng`."""
        used = (*kernel.spatial, *kernel.inputs, *kernel.outputs)
        apart = tuple(axis for axis in range(len(kernel.shape)) if axis not in used)
        order = (*apart, *used)
        sizes = [kernel.shape[axis] for axis in order]
        channels = int(np.prod(sizes[: len(apart)], dtype=int))
        rows, columns = kernel.rows, kernel.columns
        blocks = [
            np.concatenate(
                [orthogonal(rows, columns, rng) for _ in range(kernel.blocks)], axis=1
            )
            for _ in range(channels)
        ]
        scale = self.gain * (max(rows, columns) / self.fan(kernel)) ** 0.5
        return (scale * np.reshape(blocks, sizes)).transpose(np.argsort(order))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        config = super().get_config()
        del config["distribution"]
        return config


@keras.saving.register_keras_serializable(package="keras_deeptools")
class DeltaOrthogonal(keras.initializers.Initializer):
    """Convolution kernel that is orthogonal at its centre and zero elsewhere.

    With stride 1 and `padding="same"` the layer keeps the norm of its input exactly,
    edges included, which let Xiao et al. train 10,000 plain tanh layers. For
    Conv1D, 2D and 3D with one group and at least as many filters as channels.

    Args:
        gain: Float > 0. What the norm is multiplied by.
        seed: Int >= 0 or None. As in `FanScaling`; every call draws anew.

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
        """Draw a kernel `(*window, channels, filters)`, of Keras' type by default."""
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
