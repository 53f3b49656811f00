"""Numbers about tensors, computed where the tensors are."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_deeptools.engine import Capture

SAMPLE = 4096


def of_outputs(
    pre: Any,
    out: Any,
    bands: Sequence[tuple[float, float]],
    channel_axis: int,
    brief: bool = False,
) -> dict[str, Any]:
    """Statistics of what a layer puts out.

    Args:
        pre: Float tensor, output before the fused activation.
        out: Float tensor `(rows, ..., units)`.
        bands: Intervals in which an output counts as saturated.
        channel_axis: Int, the axis of units.
        brief: Bool, whether to leave out what only plots and tables need; each number
            takes its time to compile.

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
    numbers = {
        "mean": mean,
        "std": std,
        "zero": ops.mean(ops.cast(zero, "float32")),
        "dead": ops.mean(ops.cast(ops.all(stuck, axis=axes), "float32")),
    }
    if bands or not brief:
        numbers["saturated"] = ops.mean(ops.cast(saturated, "float32"))
    if brief:
        return numbers
    spread = _mean_and_std(pre)[1]
    return {**numbers, "pre_activation_std": spread, "sample": sample(out)}


def of_gradient(gradient: Any, brief: bool = False) -> dict[str, Any]:
    """Mean, root mean square and a sample of a gradient; where brief, the second."""
    largest = ops.max(ops.abs(gradient))
    divisor = ops.where(largest > 0, largest, 1.0)
    rms = divisor * ops.sqrt(ops.mean(ops.square(gradient / divisor)))
    if brief:
        return {"rms": rms}
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


POINTS = np.linspace(-30.0, 30.0, 121, dtype="float32")


NEAR_RANGE = 0.0125


"""For tanh and sigmoid: where the slope is a twentieth of what it is at zero."""


NEAR_LIMIT = 0.05


"""For elu and selu: the same."""


ROUNDING = 1e-6


"""Values of a constant differ by less, relatively: vectors and their rest by a bit."""


def saturation_bands(activation: Callable) -> list[tuple[float, float]]:
    """Intervals of outputs in which an activation function is saturated.

    Args:
        activation: Function of a tensor, element by element.

    Returns:
        List of up to two tuples of lower and upper end, one of them infinite; empty
        for functions without limits, and for those whose only limit is zero.
    """
    # Two equal columns: a softmax over them is constant, and has no limits here.
    grid = keras.ops.convert_to_tensor(np.stack([POINTS, POINTS], axis=1))
    found = np.asarray(keras.ops.convert_to_numpy(activation(grid)), "float64")
    if found.shape != (len(POINTS), 2) or not np.isfinite(found).all():
        return []
    values = found[:, 0]
    spread = values.max() - values.min()
    if spread <= ROUNDING * abs(values).max():
        return []
    flat = {
        side: abs(values[end] - values[near]) < 1e-4 * spread
        for side, end, near in (("low", 0, 10), ("high", -1, -11))
    }
    bands = []
    for side, limit in (("low", values[0]), ("high", values[-1])):
        bounded = all(flat.values())
        within = NEAR_RANGE * spread if bounded else NEAR_LIMIT * abs(limit)
        at_zero = abs(limit) < 1e-6 * spread
        is_off = at_zero and (not bounded or _is_zero_there(values, side))
        if not flat[side] or within == 0 or is_off:
            continue
        below = limit <= values.mean()
        bands.append((-np.inf, limit + within) if below else (limit - within, np.inf))
    return bands


def _is_zero_there(values: np.ndarray, side: str) -> bool:
    """Whether the function is off, not saturated: zero already near the origin."""
    middle = len(values) // 2
    near = values[middle - 8] if side == "low" else values[middle + 8]
    return near == 0.0


MOST_OUTPUTS = 256


def output_jacobians(model: keras.Model, x: Any) -> dict[str, np.ndarray]:
    """Singular values of d outputs / d pre-activations, for each sample by itself.

    Takes one backward pass for each output unit.

    Args:
        model: Built `keras.Model` with one output.
        x: Samples to compute them for.

    Returns:
        Dict from the name of a call of a layer that holds variables to a float64 array
        `(rows, k)`, falling along `k`, the smaller of the numbers of output units and
        of the layer's.

    Raises:
        ValueError: If there are several outputs, or too many units.
    """
    outputs = model(keras.tree.map_structure(ops.convert_to_tensor, x), training=False)
    if keras.tree.is_nested(outputs):
        raise ValueError(
            "signal_propagation: for Jacobians the model must have one output. "
            f"Received: a {type(outputs).__name__}. Make a model of one of them."
        )
    rows = outputs.shape[0]
    size = int(np.prod(outputs.shape[1:]))
    if size > MOST_OUTPUTS:
        raise ValueError(
            f"signal_propagation: for Jacobians the output must have at most "
            f"{MOST_OUTPUTS} units. Received: {size}, which takes as many passes. Make "
            "a model that ends in fewer."
        )
    capture = Capture(
        model,
        backward=lambda call, gradient: gradient,
        loss=lambda chosen, predicted: ops.sum(chosen * predicted),
    )
    found: dict[str, list[np.ndarray]] = {}
    for unit in np.eye(size, dtype="float32"):
        chosen = np.broadcast_to(unit, (rows, size)).reshape(outputs.shape)
        captured = capture(x, chosen)
        for call, gradient in zip(captured.calls, captured.backward, strict=True):
            if gradient is not None:
                found.setdefault(call.name, []).append(gradient.reshape(rows, -1))
    return {
        name: np.linalg.svd(
            np.stack(gradients, axis=1).astype("float64"), compute_uv=False
        )
        for name, gradients in found.items()
    }
