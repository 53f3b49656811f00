"""Scaling slices of weights back into a ball, on JAX."""

from typing import Any

import jax.numpy as jnp
from jax import lax


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
    values = [_wide(v.value) for v in variables]
    pairs = list(zip(values, axes, strict=True))
    squares = [jnp.sum(jnp.square(v), axis=a, keepdims=True) for v, a in pairs]
    usual = jnp.stack([jnp.all(jnp.isfinite(square)) for square in squares]).all()
    norms = lax.cond(
        usual,
        lambda: [jnp.sqrt(square) for square in squares],
        lambda: [_careful_slice_norms(v, a) for v, a in pairs],
    )
    fractions = []
    for variable, value, norm, hair in zip(
        variables, values, norms, shrink, strict=True
    ):
        over = (norm > limit) & jnp.isfinite(norm)
        factor = jnp.where(over, limit * hair / norm, 1.0)
        variable.assign((value * factor).astype(variable.dtype))
        fractions.append(jnp.sum(over.astype("float32")) / max(over.size, 1))
    return jnp.stack(fractions)


def _careful_slice_norms(value: Any, axes: tuple[int, ...]) -> Any:
    largest = jnp.max(jnp.abs(value), axis=axes, keepdims=True, initial=0.0)
    scale = jnp.where((largest > 0) & jnp.isfinite(largest), largest, 1.0)
    squares = jnp.sum(jnp.square(value / scale), axis=axes, keepdims=True)
    return scale * jnp.sqrt(squares)


def _wide(value: Any) -> Any:
    return value if value.dtype == jnp.float64 else value.astype("float32")
