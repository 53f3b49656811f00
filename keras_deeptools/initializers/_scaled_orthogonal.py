"""Orthogonal kernels that preserve variance whatever their shape."""

from typing import Any

import keras
import numpy as np

from keras_deeptools._shared_docs import delegates
from keras_deeptools.initializers._fan_scaling import DISTRIBUTIONS, FanScaling
from keras_deeptools.initializers._kernel import Kernel, orthogonal

OF_LAYER = ("groups", "strides", "input_axes", "output_axes", "seed")


@keras.saving.register_keras_serializable(package="keras_deeptools")
class ScaledOrthogonal(FanScaling):
    """Kernel that is orthonormal along its shorter side, scaled to preserve variance.

    `keras.initializers.Orthogonal` loses variance in a layer that widens (the variance
    of the outputs is multiplied by `inputs / outputs`), and treats the gates of a
    recurrent kernel as one matrix. Here every block, that is a gate, a group or a
    channel of a depthwise kernel, is a matrix from all inputs of one output to the
    outputs, and its entries have mean square `gain ** 2 / fan` as in `FanScaling`. For
    `"fan_in"` and a matrix that does not widen, that is the gain times orthonormal
    columns.

    Args:
        gain: Float > 0. Scale of the outputs, as `gain(activation)` returns it.
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

    @delegates(FanScaling.__init__, *OF_LAYER)
    def __init__(
        self,
        gain: float = 1.0,
        kind: str | None = None,
        mode: str = "fan_in",
        **layer: Any,
    ) -> None:
        super().__init__(gain, kind, mode, DISTRIBUTIONS[0], **layer)

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
