"""How many inputs and outputs of a layer meet in one number."""

from typing import Any

import keras

from keras_deeptools._arguments import checked_option
from keras_deeptools.initializers._kernel import kernel_of
from keras_deeptools.initializers._layer_kind import ROLES, settings_for


def fans(
    shape: tuple[int, ...],
    layer: str | type[keras.Layer] | keras.Layer | None = None,
    *,
    role: str = "kernel",
    groups: int | None = None,
    strides: int | tuple[int, ...] | None = None,
) -> tuple[float, float]:
    """Count what one output of a layer sums over, and what one input is used by.

    Args:
        shape: Tuple of ints. Shape of the kernel.
        layer: As for `initializer_for`.
        role: As for `initializer_for`.
        groups: As for `initializer_for`.
        strides: As for `initializer_for`. A strided convolution uses an input in fewer
            outputs, a transposed one sums over fewer inputs: averages over positions.

    Returns:
        Tuple of two floats, fan-in and fan-out.

    Raises:
        ValueError: If an argument is none of these.

    Example:

    >>> from keras_deeptools.initializers import fans
    >>> fans((3, 3, 64, 1), "depthwise_conv")
    (9.0, 9.0)
    >>> fans((3, 3, 16, 64), "conv", groups=4)  # of 64 channels
    (144.0, 144.0)
    >>> fans((4, 4, 8, 32), "conv_transpose", strides=2)
    (128.0, 128.0)
    """
    checked_option("fans", "role", role, ROLES)
    settings: dict[str, Any] = settings_for("fans", layer, role, groups, strides)
    return kernel_of(tuple(shape), **settings).fans
