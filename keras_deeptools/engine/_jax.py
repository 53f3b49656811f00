"""Tensor operations on JAX: pure functions that XLA fuses into the train step."""

import contextlib
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from keras_deeptools.engine._averages import move_averages as move_averages
from keras_deeptools.engine._limit_norms_jax import limit_norms as limit_norms

TINY = 1e-36
"""Sums of squares under this are recomputed with scaling (norm below 1e-18)."""


def check_supported(optimizer: Any, model: Any, owner: str = "attach") -> None:
    """Accepts every JAX set-up: gradients inside `jit` are global arrays."""


def after(gradients: list[Any]) -> Any:
    """Nothing to wait for: a step runs only when it has its data."""
    return contextlib.nullcontext()


def variable_scope(optimizer: Any) -> Any:
    """A context in which the optimizer's variables may be created."""
    return jax.named_scope("keras_deeptools")


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


def snapshot(variables: list[Any], kept: list[Any] | None) -> list[Any]:
    """The variables' values, unaffected by later assignments."""
    return [variable.value for variable in variables]


def update_norms(variables: list[Any], before: list[Any]) -> tuple[Any, Any]:
    """L2 norms of the change since the snapshot, and of the snapshot."""
    pairs = [
        (_float(v.value), _float(b)) for v, b in zip(variables, before, strict=True)
    ]
    changes = sum_squares([value - old for value, old in pairs])
    return jnp.sqrt(changes), jnp.sqrt(sum_squares([old for _, old in pairs]))


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
    line = jnp.concatenate([head, *row])
    buffer.assign(lax.dynamic_update_index_in_dim(buffer.value, line, index, axis=0))


def choose(due: Any, compute: Any, otherwise: Any) -> Any:
    """`compute()` where `due`, else `otherwise()`; both without side effects."""
    return lax.cond(due, compute, otherwise)


def possibly(due: Any) -> bool:
    """Whether `due` may be true in the step being run or traced."""
    return True


def is_sparse(tensor: Any) -> bool:
    """Whether the gradient is stored as rows of a larger array."""
    return False


def fresh_step_function(model: Any) -> None:
    """Makes the model trace its train step again at the next call.

    `jax.jit` finds an earlier trace again through the equality of bound methods,
    so the step is traced under a function object of its own.
    """
    train_step = model.train_step

    def traced_step(state: Any, data: Any) -> Any:
        return train_step(state, data)

    overridden = "train_step" in model.__dict__
    model.__dict__["train_step"] = traced_step
    try:
        model.make_train_function(force=True)
    finally:
        if overridden:
            model.__dict__["train_step"] = train_step
        else:
            del model.__dict__["train_step"]


def track(optimizer: Any, variable: Any) -> None:
    """Threads a variable through the compiled step with the optimizer's own."""
    optimizer._track_variable(variable)


def untrack(optimizer: Any, variable: Any) -> None:
    """Undoes `track`."""
    optimizer._untrack_variable(variable)


def synchronize(model: Any) -> None:
    """Brings the variables up to date with the state held by a running `fit`."""
    model.jax_state_sync()


def can_decay(optimizer: Any, variables: list[Any]) -> bool:
    """Whether weight decay accepts these variables."""
    return True


def count_skipped(optimizer: Any, counter: Any) -> dict[str, Any]:
    """Methods for a LossScaleOptimizer that count its skipped updates."""
    handle = optimizer._stateless_handle_non_finite_grads

    def handle_and_count(optimizer_variables: Any, trainable_variables: Any) -> Any:
        trainable, values = handle(optimizer_variables, trainable_variables)
        index = next(i for i, v in enumerate(optimizer.variables) if v is counter)
        values = list(values)
        values[index] = values[index] + 1
        return trainable, values

    return {"_stateless_handle_non_finite_grads": handle_and_count}


def _float(tensor: Any) -> Any:
    return jnp.asarray(tensor, "float32")
