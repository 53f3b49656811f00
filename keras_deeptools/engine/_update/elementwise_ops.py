"""The operations in formulas of optimizers, for one tensor and for many at once.

A tensor here is one of the backend's, or a list of them that arithmetic takes for one
(`Together`). A scalar is a Python number where the host knows it, else a tensor; both
are exact to float32, also where `1 - beta ** step` would cancel.
"""

import math
from typing import Any

from keras import ops

from keras_deeptools.engine._backends.common import Together


def moved(tensor: Any, target: Any, fraction: Any) -> Any:
    """A tensor moved by the fraction of the way to another one: a moving average."""
    if isinstance(tensor, Together):
        return tensor.moved(target, fraction)
    return tensor + (target - tensor) * fraction


def root(tensor: Any) -> Any:
    """The square root of each element."""
    return tensor.sqrt() if isinstance(tensor, Together) else ops.sqrt(tensor)


def at_least(tensor: Any, number: Any) -> Any:
    """Each element, or the number where that is larger."""
    if isinstance(tensor, Together):
        return tensor.at_least(number)
    return ops.maximum(tensor, ops.cast(number, tensor.dtype))


def magnitude(tensor: Any) -> Any:
    """The sum of the magnitudes of all elements, a scalar."""
    if isinstance(tensor, Together):
        return tensor.abs().total()
    return ops.sum(ops.cast(ops.abs(tensor), "float32"))


def product(tensor: Any, other: Any) -> Any:
    """The inner product of two tensors, a scalar."""
    if isinstance(tensor, Together):
        return (tensor * other).total()
    return ops.sum(ops.cast(tensor * other, "float32"))


def limited(tensor: Any, limit: Any) -> Any:
    """Each element within [-limit, limit]."""
    if isinstance(tensor, Together):
        return tensor.limited(limit)
    limit = ops.cast(limit, tensor.dtype)
    return ops.maximum(ops.minimum(tensor, limit), -limit)


def chosen(condition: Any, yes: Any, no: Any) -> Any:
    """One of two scalars."""
    if isinstance(condition, bool):
        return yes if condition else no
    return ops.where(condition, yes, no)


def smaller(one: Any, other: Any) -> Any:
    """The smaller of two scalars."""
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return min(one, other)
    return ops.minimum(one, other)


def larger(one: Any, other: Any) -> Any:
    """The larger of two scalars."""
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return max(one, other)
    return ops.maximum(one, other)


def logarithm(scalar: Any) -> Any:
    """The natural logarithm; minus infinity of 0."""
    if isinstance(scalar, (int, float)):
        return math.log(scalar) if scalar else -math.inf
    return ops.log(scalar)


def exponential_less_one(scalar: Any) -> Any:
    """`exp(scalar) - 1` without cancellation."""
    if isinstance(scalar, (int, float)):
        return math.expm1(scalar)
    return ops.expm1(scalar)


def weight_seen(decay: Any, step: Any) -> Any:
    """The sum of the weights of a moving average that began at zero: 1 - decay**step.

    Args:
        decay: Scalar in [0, 1).
        step: Scalar >= 1, the number of values averaged.

    Example:

    >>> from keras_deeptools.engine._update.elementwise_ops import weight_seen
    >>> round(weight_seen(0.5, 3.0), 9)
    0.875
    """
    return -exponential_less_one(step * logarithm(decay))
