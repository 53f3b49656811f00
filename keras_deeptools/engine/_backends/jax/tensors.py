"""Tensor operations on JAX: pure functions that XLA fuses into the train step."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import keras
from jax import lax

from keras_deeptools.engine._backends.common import (
    TAKES_LISTS as TAKES_LISTS,
    dense as dense,
    is_mutable as is_mutable,
    keeps_contents_apart as keeps_contents_apart,
    modules_in as modules_in,
    move_averages as move_averages,
    number as number,
    tensor_list as tensor_list,
)
from keras_deeptools.engine._backends.sampled_norms import sample, scaled_up
from keras_deeptools.engine._keras_private.layers import value_of
from keras_deeptools.engine._keras_private.optimizers import track, untrack
from keras_deeptools.engine._keras_private.training import JAX_STATE, jax_state


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
    norms = slice_norms(values, axes)
    fractions = []
    for variable, value, norm, hair in zip(
        variables, values, norms, shrink, strict=True
    ):
        over = (norm > limit) & jnp.isfinite(norm)
        factor = jnp.where(over, limit * hair / norm, 1.0)
        variable.assign((value * factor).astype(variable.dtype))
        fractions.append(jnp.sum(over.astype("float32")) / max(over.size, 1))
    return jnp.stack(fractions)


def slice_norms(tensors: list[Any], axes: list[tuple[int, ...]]) -> list[Any]:
    """L2 norms over `axes` of each tensor, which stay as axes of length 1."""
    pairs = list(zip(map(_wide, tensors), axes, strict=True))
    squares = [jnp.sum(jnp.square(v), axis=a, keepdims=True) for v, a in pairs]
    usual = jnp.stack([jnp.all(jnp.isfinite(square)) for square in squares]).all()
    return lax.cond(
        usual,
        lambda: [jnp.sqrt(square) for square in squares],
        lambda: [_careful_slice_norms(v, a) for v, a in pairs],
    )


def _careful_slice_norms(value: Any, axes: tuple[int, ...]) -> Any:
    largest = jnp.max(jnp.abs(value), axis=axes, keepdims=True, initial=0.0)
    scale = jnp.where((largest > 0) & jnp.isfinite(largest), largest, 1.0)
    squares = jnp.sum(jnp.square(value / scale), axis=axes, keepdims=True)
    return scale * jnp.sqrt(squares)


def _wide(value: Any) -> Any:
    return value if value.dtype == jnp.float64 else value.astype("float32")


TINY = 1e-36
"""Sums of squares under this are recomputed with scaling (norm below 1e-18)."""

COMPILES = True
"""Whether functions of the user's may be traced once and kept."""


def sum_squares(tensors: list[Any]) -> Any:
    """Sum of squares of each tensor, float32 vector."""
    return jnp.stack([jnp.sum(jnp.square(_float(t))) for t in tensors])


def max_abs(tensors: list[Any]) -> Any:
    """Largest magnitude of each tensor, float32 vector."""
    return jnp.stack([jnp.max(jnp.abs(_float(t)), initial=0.0) for t in tensors])


def zero_fraction(tensors: list[Any], sizes: list[int]) -> Any:
    """Fraction of elements that are exactly zero, float32 vector."""
    zeros = [jnp.sum((t == 0).astype("float32")) for t in tensors]
    return jnp.stack([z / max(n, 1) for z, n in zip(zeros, sizes, strict=True)])


def norms(tensors: list[Any]) -> tuple[Any, Any]:
    """L2 norm and number of non-finite elements of each tensor.

    One read of each tensor in the normal case; where a sum of squares overflows,
    underflows or is not a number, a second, scaled pass makes the norm exact and
    counts the elements to blame.
    """
    squares = sum_squares(tensors)
    usual = jnp.all((squares > TINY) & jnp.isfinite(squares))
    return lax.cond(
        usual,
        lambda: (jnp.sqrt(squares), jnp.zeros_like(squares)),
        lambda: _careful_norms(tensors),
    )


def _careful_norms(tensors: list[Any]) -> tuple[Any, Any]:
    result, counts = [], []
    for tensor in tensors:
        value = _float(tensor)
        largest = jnp.max(jnp.abs(value), initial=0.0)
        scale = jnp.where((largest > 0) & jnp.isfinite(largest), largest, 1.0)
        result.append(scale * jnp.sqrt(jnp.sum(jnp.square(value / scale))))
        counts.append(jnp.sum((~jnp.isfinite(value)).astype("float32")))
    return jnp.stack(result), jnp.stack(counts)


def snapshot(
    variables: list[Any], kept: list[Any] | None, limit: int | None = None
) -> list[Any]:
    """The variables' values, or samples of `limit`; later assignments leave them."""
    return [sample(variable.value, limit) for variable in variables]


def update_norms(
    variables: list[Any], before: list[Any], limit: int | None = None
) -> tuple[Any, Any]:
    """L2 norms of the change since a snapshot with this `limit`, and of itself."""
    pairs = [
        (_float(sample(v.value, limit)), _float(b))
        for v, b in zip(variables, before, strict=True)
    ]
    changes = jnp.sqrt(sum_squares([value - old for value, old in pairs]))
    weights = jnp.sqrt(sum_squares([old for _, old in pairs]))
    return (
        scaled_up(changes, variables, limit),
        scaled_up(weights, variables, limit),
    )


def scaled(tensors: list[Any], factors: Any) -> list[Any]:
    """Each tensor times its own factor; where that is 1, as it was, to the bit."""
    return [t * factors[i].astype(t.dtype) for i, t in enumerate(tensors)]


def clipped(tensors: list[Any], limit: Any) -> list[Any]:
    """Each tensor with its elements limited to [-limit, limit]."""
    return [jnp.clip(t, -limit, limit).astype(t.dtype) for t in tensors]


def current(variable: Any) -> Any:
    """The variable's value now, as a tensor that later assignments leave alone."""
    return variable.value


def scalar(variable: Any) -> Any:
    """The value of a scalar variable: a tensor, or a number where that is free."""
    return variable.value


def set_scalar(variable: Any, value: Any) -> None:
    """Sets a scalar variable to a tensor or number."""
    variable.assign(jnp.asarray(value, variable.dtype))


def add(variable: Any, values: Any) -> None:
    """Adds to a variable in place."""
    variable.assign(variable.value + values)


def write_row(buffer: Any, index: Any, numbers: list[Any], row: list[Any]) -> None:
    """Writes two numbers, then vectors, at `index` of a two-dimensional variable."""
    head = jnp.stack(numbers).astype("float32")
    line = jnp.concatenate([head, *(part.astype("float32") for part in row)])
    buffer.assign(lax.dynamic_update_index_in_dim(buffer.value, line, index, axis=0))


def choose(due: Any, compute: Any, otherwise: Any) -> Any:
    """`compute()` where `due`, else `otherwise()`; both without side effects."""
    return lax.cond(due, compute, otherwise)


def possibly(due: Any) -> bool:
    """Whether `due` may be true in the step being run or traced."""
    return True


def is_sparse(tensor: Any) -> bool:
    """Whether the gradient is stored in sparse form."""
    return False


def set_before(train_step: Any, model: Any, values: Callable) -> Any:
    """The train step, with variables of the model set first, in the state it is given.

    What is assigned inside the step reaches neither the forward pass nor the state.
    """

    @functools.wraps(train_step)
    def set_and_train(state: Any, *args: Any, **kwargs: Any) -> Any:
        trained, others, optimizer_state, metrics = state
        mapping = list(zip(model.optimizer.variables, optimizer_state, strict=True))
        with keras.StatelessScope(mapping):
            pairs = values()
        places = {id(v): i for i, v in enumerate(model.non_trainable_variables)}
        others = list(others)
        for variable, value in pairs:
            value = jnp.asarray(value, variable.dtype)
            others[places[id(variable)]] = value.reshape(variable.shape)
        state = (trained, others, optimizer_state, metrics)
        return train_step(state, *args, **kwargs)

    return set_and_train


def eagerly() -> Any:
    """A context in which operations give numbers at once, also while tracing."""
    return jax.ensure_compile_time_eval()


def trace(function: Callable) -> None:
    """Traces a function of an int32 scalar, as the compiled step would."""
    jax.eval_shape(function, jax.ShapeDtypeStruct((), "int32"))


def readable(variables: list[Any], optimizer: Any) -> bool:
    """Whether the optimizer's update can read what variables hold at the time."""
    known = {id(variable) for variable in optimizer.variables}
    return all(id(variable) in known for variable in variables)


def host(optimizer: Any, model: Any, others: list[Any]) -> Any:
    """The optimizer that the state of features rides with, if it is another one.

    Args:
        optimizer: Outermost optimizer.
        model: `keras.Model`, or None.
        others: List of optimizers that may take it.

    Raises:
        ValueError: If the train step is handed the variables of neither.
    """
    if model is None or model.optimizer is optimizer:
        return None
    if _is_handed_over(optimizer, model):
        return None
    hosts = [other for other in others if _is_handed_over(other, model)]
    if not hosts:
        raise ValueError(
            "attach: on JAX a train step must be handed the variables of an optimizer "
            f"to act on it. Received: optimizer={optimizer.name!r} of {model.name!r}, "
            "whose `_get_jax_state` leaves out what is added to it and to "
            "`model.optimizer`. Call `compile` with an optimizer."
        )
    return hosts[0]


def is_traced(values: list[Any]) -> bool:
    """Whether any of the values is being traced."""
    return any(isinstance(value, jax.core.Tracer) for value in values)


def _is_handed_over(optimizer: Any, model: Any) -> bool:
    """Whether what is added to an optimizer's variables reaches the train step."""
    probe = keras.Variable(0.0, trainable=False, name="probe")
    track(optimizer, probe)
    try:
        state = jax_state(model, JAX_STATE)
        return any(value is value_of(probe) for part in state for value in part)
    except AttributeError:
        # Keras' own looks for `model.optimizer`, which may be None.
        return False
    finally:
        untrack(optimizer, probe)


def is_compiled(function: Any) -> bool:
    """Whether a function is the user's `jax.jit`."""
    return hasattr(function, "clear_cache") and hasattr(function, "lower")


def forget_function(function: Any) -> None:
    """Lets a function under `jax.jit` be traced again at the next call."""
    function.clear_cache()


def _float(tensor: Any) -> Any:
    return jnp.asarray(tensor, "float32")


LISTS_ROWS = False
"""Whether gradients of embeddings are sparse, with an entry for each use of a token."""
