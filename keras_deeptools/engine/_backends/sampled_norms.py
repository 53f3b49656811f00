"""Norms of large tensors, estimated from some of their elements."""

import math
from typing import Any

from keras import ops


def sample(value: Any, limit: int | None) -> Any:
    """The tensor, or about `limit` of its elements, evenly spread over all axes.

    Args:
        value: Tensor.
        limit: Int > 0, or None for all elements.

    Returns:
        `value`, or a vector if it has more elements than `limit`.
    """
    stride = _stride(value.shape, limit)
    return value if stride == 1 else ops.reshape(value, (-1,))[::stride]


def scaled_up(norms: Any, wholes: list[Any], limit: int | None) -> Any:
    """Norms of whole tensors, estimated from those of samples of `limit` elements.

    Args:
        norms: Float32 vector, norms of the samples.
        wholes: Tensors or variables that were sampled.
        limit: What `sample` was given.
    """
    factors = []
    for each in wholes:
        stride = _stride(each.shape, limit)
        size = 1 if stride == 1 else math.prod(each.shape)
        factors.append(math.sqrt(size / max(-(-size // stride), 1)))
    if limit is None or max(factors, default=1.0) <= 1:
        return norms
    return norms * ops.convert_to_tensor(factors, "float32")


def _stride(shape: tuple[Any, ...], limit: int | None) -> int:
    # In a graph of TensorFlow the gradient of an embedding may have an unknown length.
    if limit is None or None in shape:
        return 1
    size = math.prod(shape)
    if size <= limit:
        return 1
    stride = -(-size // limit)
    while math.gcd(stride, size) > 1:
        # One that divides the length of an axis would stay in some of its places.
        stride += 1
    return stride
