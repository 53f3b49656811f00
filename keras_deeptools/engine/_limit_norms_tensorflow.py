"""Scaling slices of weights back into a ball, on TensorFlow."""

from typing import Any

import tensorflow as tf


def limit_norms(
    variables: list[Any], axes: list[tuple[int, ...]], limit: Any, shrink: list[float]
) -> Any:
    """Scales down, in place, the slices of each variable whose L2 norm is over `limit`.

    Args:
        variables: Keras variables.
        axes: For each variable the axes that one norm sums over.
        limit: Scalar > 0.
        shrink: For each variable, the fraction of `limit` that scaling leads to: a
            hair under 1, so that rounding does not lead out of the ball.

    Returns:
        Float32 vector, the fraction of slices of each variable that were scaled.
        Slices within the limit, and those with non-finite elements, keep every bit.
    """
    values = [_wide(tf.convert_to_tensor(v.value)) for v in variables]
    pairs = list(zip(values, axes, strict=True))
    squares = [tf.reduce_sum(tf.square(v), axis=a, keepdims=True) for v, a in pairs]
    usual = tf.reduce_all(
        [tf.reduce_all(tf.math.is_finite(square)) for square in squares]
    )
    norms = tf.cond(
        usual,
        lambda: [tf.sqrt(square) for square in squares],
        lambda: [_careful_slice_norms(v, a) for v, a in pairs],
    )
    fractions = []
    for variable, value, norm, hair in zip(
        variables, values, norms, shrink, strict=True
    ):
        bound = tf.cast(limit, norm.dtype)
        over = (norm > bound) & tf.math.is_finite(norm)
        factor = tf.where(over, bound * hair / norm, tf.ones_like(norm))
        variable.assign(tf.cast(value * factor, variable.dtype))
        share = tf.reduce_sum(tf.cast(over, tf.float32)) / max(
            over.shape.num_elements(), 1
        )
        fractions.append(share)
    return tf.stack(fractions)


def _careful_slice_norms(value: Any, axes: tuple[int, ...]) -> Any:
    largest = tf.reduce_max(tf.abs(value), axis=axes, keepdims=True)
    usable = (largest > 0) & tf.math.is_finite(largest)
    scale = tf.where(usable, largest, tf.ones_like(largest))
    shrunk = tf.square(value / scale)
    return scale * tf.sqrt(tf.reduce_sum(shrunk, axis=axes, keepdims=True))


def _wide(value: Any) -> Any:
    return value if value.dtype == tf.float64 else tf.cast(value, tf.float32)
