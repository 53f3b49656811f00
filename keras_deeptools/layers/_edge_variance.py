"""The loss of variance at edges by zero padding, and factors that compensate it."""

from collections.abc import Sequence
from typing import Any

from keras import ops


def edge_gain(
    size: Any, kernel_size: int, stride: int, dilation: int, causal: bool
) -> Any:
    """The factor by position that keeps the variance of a zero-padded convolution.

    Near an edge only `r` of the kernel's `k` taps along an axis fall on data. With
    independent weights of mean 0 the variance there is `r / k` of that in the interior,
    whatever the data, so `sqrt(k / r)` restores it exactly; the factors of several axes
    are multiplied.

    Args:
        size: Int or scalar tensor. Length of the input along the axis.
        kernel_size: Int. Taps along the axis.
        stride: Int. Step between outputs.
        dilation: Int. Step between taps.
        causal: Bool. Whether all padding is in front; otherwise it is "same" padding.

    Returns:
        Float32 tensor `(ceil(size / stride),)`, 1 in the interior.
    """
    reach = (kernel_size - 1) * dilation
    length = (size + stride - 1) // stride
    front = reach
    if not causal:
        front = ops.maximum((length - 1) * stride + reach + 1 - size, 0) // 2
    first = ops.arange(length) * stride - front
    taps = ops.expand_dims(first, 1) + dilation * ops.arange(kernel_size)
    real = ops.sum(ops.logical_and(taps >= 0, taps < size), axis=1)
    return ops.sqrt(kernel_size / ops.cast(ops.maximum(real, 1), "float32"))


def reflection_padded(x: Any, axis: int, front: int, back: int) -> Any:
    """`x` with `front` and `back` more entries along `axis`, mirrored at its ends.

    The entries at the ends themselves are not repeated. The mirrored taps carry data,
    so the convolution's variance at the edges is the same as in the interior.

    Args:
        x: Tensor.
        axis: Int >= 0.
        front: Int in [0, length of the axis).
        back: Int in [0, length of the axis).
    """
    before = (slice(None),) * axis
    length = ops.shape(x)[axis]
    mirrored = [
        ops.flip(x[(*before, slice(1, front + 1))], axis=axis),
        x,
        ops.flip(x[(*before, slice(length - 1 - back, length - 1))], axis=axis),
    ]
    return ops.concatenate(mirrored, axis=axis)


def same_padding(
    size: int, kernel_size: int, stride: int, dilation: int
) -> tuple[int, int]:
    """Entries before and after that make the output `ceil(size / stride)` long."""
    length = -(-size // stride)
    total = max((length - 1) * stride + (kernel_size - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


def along(vector: Any, axis: int, rank: int) -> Any:
    """`vector` as a tensor of `rank` axes that varies along `axis` only."""
    return ops.reshape(vector, [-1 if i == axis else 1 for i in range(rank)])


def spatial_axes(rank: int, data_format: str) -> Sequence[int]:
    """The axes of positions in a batch of `rank`-dimensional feature maps."""
    first = 1 if data_format == "channels_last" else 2
    return range(first, first + rank)
