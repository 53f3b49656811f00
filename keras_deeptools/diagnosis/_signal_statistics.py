"""Numbers about tensors, computed where the tensors are."""

import math
from collections.abc import Iterable
from typing import Any

from keras import ops

SAMPLE = 4096


def of_outputs(
    pre: Any, out: Any, bands: Iterable[tuple[float, float]], channel_axis: int
) -> dict[str, Any]:
    """Statistics of what a layer puts out.

    Args:
        pre: Float tensor, output before the fused activation.
        out: Float tensor `(rows, ..., units)`.
        bands: Intervals in which an output counts as saturated.
        channel_axis: Int, the axis of units.

    Returns:
        Dict of float32 tensors: scalars, and a sample of the outputs.
    """
    out, pre = ops.cast(out, "float32"), ops.cast(pre, "float32")
    zero = ops.equal(out, 0.0)
    saturated = ops.zeros_like(zero)
    for low, high in bands:
        saturated = ops.logical_or(saturated, ops.logical_and(out >= low, out <= high))
    stuck = ops.logical_or(zero, saturated)
    rank = len(out.shape)
    axes = [axis for axis in range(rank) if axis != channel_axis % rank]
    mean, std = _mean_and_std(out)
    return {
        "mean": mean,
        "std": std,
        "pre_activation_std": _mean_and_std(pre)[1],
        "saturated": ops.mean(ops.cast(saturated, "float32")),
        "zero": ops.mean(ops.cast(zero, "float32")),
        "dead": ops.mean(ops.cast(ops.all(stuck, axis=axes), "float32")),
        "sample": sample(out),
    }


def of_gradient(gradient: Any) -> dict[str, Any]:
    """Mean, root mean square and a sample of a gradient."""
    largest = ops.max(ops.abs(gradient))
    divisor = ops.where(largest > 0, largest, 1.0)
    rms = divisor * ops.sqrt(ops.mean(ops.square(gradient / divisor)))
    return {"mean": ops.mean(gradient), "rms": rms, "sample": sample(gradient)}


def sample(values: Any) -> Any:
    """At most `SAMPLE` elements, evenly spaced, as a vector."""
    flat = ops.reshape(values, (-1,))
    sizes = tuple(values.shape)
    if None in sizes:
        # Layers such as TextVectorization hide sizes from a graph.
        half = -(-ops.shape(flat)[0] // SAMPLE) // 2
        return flat[:: 2 * half + 1]
    stride = -(-math.prod(sizes) // SAMPLE)
    # An odd stride does not fall in step with the number of units, mostly even.
    stride += stride > 1 and stride % 2 == 0
    return flat[::stride]


def _mean_and_std(values: Any) -> tuple[Any, Any]:
    mean = ops.mean(values)
    return mean, ops.sqrt(ops.mean(ops.square(values - mean)))
