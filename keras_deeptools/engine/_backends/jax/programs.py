"""Compiling and differentiating a whole pass, on JAX."""

import functools
import hashlib
import inspect
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import jax
import jax.extend.core
import jax.numpy as jnp

from keras_deeptools.engine._backends.jax.uncompiled import make_updates as make_updates

_MOST_EXECUTABLES = 8

_executables: OrderedDict[Any, Any] = OrderedDict()


def compiled(function: Callable) -> Callable:
    """The function as one program.

    Programs are compared by their text, and the same is compiled once in a process:
    measuring a model again, or another of the same kind, only traces.
    """
    jitted = jax.jit(function)
    known: dict[Any, Callable] = {}

    def run(*arguments: Any) -> Any:
        leaves, structure = jax.tree.flatten(arguments)
        signature = (structure, *((leaf.shape, leaf.dtype) for leaf in leaves))
        if signature not in known:
            known[signature] = _executable(jitted.lower(*arguments), signature)
        return known[signature](*arguments)

    return run


def _executable(lowered: Any, signature: tuple) -> Callable:
    text = hashlib.sha256(lowered.as_text().encode()).digest()
    # The text leaves out arguments that are not used, and a program still checks them.
    key = (text, signature, lowered.in_tree, lowered.out_tree)
    if key not in _executables:
        _executables[key] = lowered.compile()
    _executables.move_to_end(key)
    if len(_executables) > _MOST_EXECUTABLES:
        _executables.popitem(last=False)
    return _executables[key]


def _told_by_jax() -> Callable[[], Any]:
    """What JAX tells it with: in `jax.extend.core` of 0.10, before in `jax.core`."""
    home = jax.extend.core
    home = home if hasattr(home, "get_opaque_trace_state") else jax.core
    told: Callable = home.get_opaque_trace_state
    asks = "convention" in inspect.signature(told).parameters  # Up to 0.6.
    return functools.partial(told, convention="flax") if asks else told


_trace_state = _told_by_jax()


def trace_state() -> Any:
    """What differs between the body of a loop or a map and the code around it."""
    return _trace_state()


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
