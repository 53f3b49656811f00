"""The linear part of a decoder: the transpose of the encoder's."""

from typing import Any

import keras
from keras import ops


def decoded(
    layer: keras.Layer, codes: Any, kernel: Any, bias: Any, shape: tuple[int, ...]
) -> Any:
    """Maps what a layer gives back to the space of what it takes.

    The transpose of the layer's linear map, for convolutions with the same strides and
    padding, plus a bias.

    Args:
        layer: `Dense`, `Conv1D` or `Conv2D`, of one group and without dilation.
        codes: Tensor, of the shape of the layer's outputs.
        kernel: Tensor, of the shape of the layer's kernel.
        bias: Tensor `(channels,)`, of the layer's inputs.
        shape: Tuple of ints, the shape of a row of the layer's inputs.

    Returns:
        Tensor `(batch, *shape)`.
    """
    if isinstance(layer, keras.layers.Dense):
        return ops.matmul(codes, ops.transpose(kernel)) + bias
    full = ops.conv_transpose(
        codes, kernel, layer.strides, padding="valid", data_format=layer.data_format
    )
    first = 1 if layer.data_format == "channels_last" else 2
    rank = len(layer.kernel_size)
    padded, cut = [(0, 0)] * (rank + 2), [slice(None)] * (rank + 2)
    for position in range(rank):
        axis = first + position
        size = shape[axis - 1]
        window, stride = layer.kernel_size[position], layer.strides[position]
        before = _padding_before(size, window, stride, layer.padding)
        padded[axis] = (0, max(0, before + size - full.shape[axis]))
        cut[axis] = slice(before, before + size)
    full = ops.pad(full, padded)[tuple(cut)]
    if first == 2:
        bias = ops.reshape(bias, (-1, *[1] * rank))
    return full + bias


def _padding_before(size: int, window: int, stride: int, padding: str) -> int:
    """How many zeros a convolution puts before its inputs."""
    if padding == "valid":
        return 0
    if padding == "causal":
        return window - 1
    steps = -(-size // stride)
    return max((steps - 1) * stride + window - size, 0) // 2
