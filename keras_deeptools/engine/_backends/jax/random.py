"""Random numbers and compiled functions for stochastic passes, on JAX."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from keras_deeptools.engine._backends.common import (
    NORMAL_BY_PREFIX as NORMAL_BY_PREFIX,
    PADS_ROWS as PADS_ROWS,
    is_exporting as is_exporting,
    unseeded as unseeded,
)


def seed_tensor(words: np.ndarray) -> Any:
    """Seeds, uint32 `(num_draws, 2)`, in the form that `bits` takes one row of."""
    return jnp.asarray(words)


def bits(seed: Any, rows: int, columns: int) -> Any:
    """Random int16 of shape `(rows, columns)`; fewer rows are the first of more."""
    words = jax.random.bits(_key(seed), (rows, -(-columns // 2)), jnp.uint32)
    pairs = jax.lax.bitcast_convert_type(words, jnp.int16)
    return pairs.reshape(rows, -1)[:, :columns]


def uniform(seed: Any, rows: int, columns: int) -> Any:
    """Random float32 in [0, 1) of shape `(rows, columns)`."""
    return jax.random.uniform(_key(seed), (rows, columns), jnp.float32)


def normal(seed: Any, rows: int, columns: int) -> Any:
    """Random float32 from N(0, 1) of shape `(rows, columns)`."""
    return jax.random.normal(_key(seed), (rows, columns), jnp.float32)


def _key(seed: Any) -> Any:
    return jax.random.wrap_key_data(seed, impl="threefry2x32")


def masked(x: Any, keep: Any, scale: float) -> Any:
    """`x * scale` where `keep`, else zero; `keep` broadcasts to `x`."""
    return jnp.where(keep, x * scale, jnp.zeros((), x.dtype))


def rows_from(x: Any, start: Any, rows: int) -> Any:
    """The `rows` rows of `x` from row `start` on."""
    if x.shape[0] == rows:
        return x
    return jax.lax.dynamic_slice_in_dim(x, start, rows, axis=0)


def compiled(
    function: Callable[..., Any], variables: list[Any], static: tuple[str, ...] = ()
) -> Callable[..., Any]:
    """`function` compiled; the variables' values are read anew at every call.

    Args:
        function: Called with tensors by position and what is `static` by keyword.
        variables: Keras variables that it reads.
        static: Names of hashable keyword arguments.
    """

    def stateless(values: list[Any], *args: Any, **options: Any) -> Any:
        pairs = list(zip(variables, values, strict=True))
        with keras.StatelessScope(state_mapping=pairs):
            return function(*args, **options)

    jitted = jax.jit(stateless, static_argnames=static)

    def call(*args: Any, **options: Any) -> Any:
        return jitted([v.value for v in variables], *args, **options)

    return call


def traced(function: Callable[..., Any], *args: Any) -> None:
    """Runs the Python code of `function` once, without computing anything."""

    def stateless(*tensors: Any) -> Any:
        with keras.StatelessScope():
            return function(*tensors)

    jax.eval_shape(stateless, *args)
