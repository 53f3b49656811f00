"""Compiling and differentiating a whole pass, on JAX."""

from collections.abc import Callable
from typing import Any

import jax
import jax.extend.core
import jax.numpy as jnp


def compiled(function: Callable) -> Callable:
    """The function as one program."""
    return jax.jit(function)


def trace_state() -> Any:
    """What differs between the body of a loop or a map and the code around it."""
    return jax.extend.core.get_opaque_trace_state()


def differentiate(run: Callable, values: list[Any]) -> tuple[Any, list[Any], list[Any]]:
    """Gradients of a loss with respect to values and to tensors on the way to it.

    Args:
        run: Function of values and of a function `probe` that it passes tensors
            through; returns the loss and anything else.
        values: List of tensors.

    Returns:
        Tuple of what else `run` returned, the gradients with respect to the values,
        and those with respect to the probed tensors.
    """
    found: list[Any] = []

    def note(tensor: Any) -> Any:
        found.append(jax.ShapeDtypeStruct(tensor.shape, tensor.dtype))
        return tensor

    jax.eval_shape(lambda v: run(v, note)[0], values)
    zeros = [jnp.zeros(each.shape, each.dtype) for each in found]

    def probed(values: list[Any], added: list[Any]) -> Any:
        rest = iter(added)
        return run(values, lambda tensor: tensor + next(rest))

    (_, other), (of_values, of_probed) = jax.value_and_grad(
        probed, argnums=(0, 1), has_aux=True
    )(values, zeros)
    return other, of_values, of_probed
