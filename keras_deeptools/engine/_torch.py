"""Tensor operations on torch: fused `_foreach` kernels, no host synchronization."""

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import torch

from keras_deeptools.engine._averages_torch import move_averages as move_averages
from keras_deeptools.engine._built_before_steps import BUILDS_IN_STEP as BUILDS_IN_STEP
from keras_deeptools.engine._built_before_steps import between_steps as between_steps
from keras_deeptools.engine._built_before_steps import have_values as have_values
from keras_deeptools.engine._built_before_steps import (
    reason_to_trace_again as reason_to_trace_again,
)
from keras_deeptools.engine._built_before_steps import tracing as tracing
from keras_deeptools.engine._limit_norms_torch import limit_norms as limit_norms
from keras_deeptools.engine._scratch_torch import CHUNK, scratch

TINY = 1e-36
"""Sums of squares under this are recomputed with scaling (norm below 1e-18)."""
COMPILES = False
"""Whether functions of the user's may be traced once and kept."""
LONGEST = 2**22
"""Elements in one sum, so that rounding does not grow with the tensor."""


def check_supported(optimizer: Any, model: Any, owner: str = "attach") -> None:
    """Raises for a model that `torch.compile` traces."""
    if model is not None and getattr(model, "jit_compile", False) is True:
        raise ValueError(
            "attach: a model on the torch backend must be compiled with "
            "`jit_compile=False`: torch.compile caches the traced step by its code "
            "and would go on without what is attached. Received: jit_compile=True. "
            "Call `model.compile(..., jit_compile=False)`."
        )


def after(gradients: list[Any]) -> Any:
    """Nothing to wait for: a step runs only when it has its data."""
    return contextlib.nullcontext()


def variable_scope(optimizer: Any) -> Any:
    """A context in which the optimizer's variables may be created."""
    return contextlib.nullcontext()


@torch.no_grad()
def sum_squares(tensors: list[Any]) -> Any:
    """Sum of squares of each tensor, float32 vector."""
    return torch.stack(torch._foreach_norm(_floats(tensors), 2)).square()


@torch.no_grad()
def max_abs(tensors: list[Any]) -> Any:
    """Largest magnitude of each tensor, float32 vector."""
    extremes = [torch.stack(_aminmax(t)) for t in _floats(tensors)]
    return torch.stack(extremes).abs().amax(dim=1)


def _aminmax(tensor: Any) -> Any:
    return torch.aminmax(tensor) if tensor.numel() else (tensor.new_zeros(()),) * 2


@torch.no_grad()
def zero_fraction(tensors: list[Any], sizes: list[int]) -> Any:
    """Fraction of elements that are exactly zero, float32 vector."""
    if tensors[0].device.type == "cpu":
        counts = [_count_nonzero(t) for t in tensors]
    else:
        counts = [torch.count_nonzero(t).float() for t in tensors]
    nonzero = torch.stack(counts)
    totals = torch.tensor([max(size, 1) for size in sizes], device=nonzero.device)
    return 1.0 - nonzero / totals


def _count_nonzero(tensor: Any) -> Any:
    """Without the branches of `torch.count_nonzero`: up to eight times as fast."""
    if tensor.dtype != torch.float32:
        return torch.count_nonzero(tensor).float()
    counts = []
    for part in tensor.reshape(-1).split(CHUNK):
        ones = torch.ne(part, 0, out=scratch(len(part)))
        counts.append(torch.dot(ones, ones))
    return counts[0] if len(counts) == 1 else torch.stack(counts).sum()


@torch.no_grad()
def norms(tensors: list[Any]) -> tuple[Any, Any]:
    """L2 norm and number of non-finite elements of each tensor.

    One read of each tensor in the normal case; where a norm overflows, underflows
    or is not a number, a second, scaled pass makes it exact and counts the elements
    to blame (always taken on accelerators, where looking would stall the queue).
    """
    values = _floats(tensors)
    if values[0].device.type == "cpu":
        squares = torch.stack([_square(v) for v in values])
        if bool(((squares > TINY) & torch.isfinite(squares)).all()):
            return squares.sqrt(), torch.zeros_like(squares)
    return _careful_norms(values)


def _square(tensor: Any) -> Any:
    flat = tensor.reshape(-1)
    if len(flat) <= LONGEST:
        return torch.dot(flat, flat)
    return torch.stack([torch.dot(part, part) for part in flat.split(LONGEST)]).sum()


def _careful_norms(values: list[Any]) -> tuple[Any, Any]:
    largest = max_abs(values)
    usable = (largest > 0) & torch.isfinite(largest)
    scale = torch.where(usable, largest, torch.ones_like(largest))
    shrunk = torch._foreach_div(values, list(scale.unbind()))
    result = scale * torch.stack(torch._foreach_norm(shrunk, 2))
    bad = [torch.count_nonzero(~torch.isfinite(v)) for v in values]
    return result, torch.stack(bad).float()


@torch.no_grad()
def snapshot(variables: list[Any], kept: list[Any] | None) -> list[Any]:
    """The variables' values, unaffected by later assignments.

    `kept` is an earlier snapshot of the same variables, whose memory is used again.
    """
    values = [variable.value for variable in variables]
    if kept is None or [k.shape for k in kept] != [v.shape for v in values]:
        return [value.clone() for value in values]
    torch._foreach_copy_(kept, values)
    return kept


@torch.no_grad()
def update_norms(variables: list[Any], before: list[Any]) -> tuple[Any, Any]:
    """L2 norms of the change since the snapshot, and of the snapshot.

    The snapshot's memory is overwritten with the change.
    """
    values = [variable.value for variable in variables]
    if values[0].device.type != "cpu":
        weights = torch._foreach_norm(_floats(before), 2)
        torch._foreach_sub_(before, values)
        return torch.stack(torch._foreach_norm(_floats(before), 2)), torch.stack(
            weights
        )
    # One variable at a time stays in the processor's cache.
    weights, changes = [], []
    for old, value in zip(before, values, strict=True):
        weights.append(_square(*_floats([old])))
        changes.append(_square(*_floats([old.sub_(value)])))
    return torch.stack(changes).sqrt(), torch.stack(weights).sqrt()


@torch.no_grad()
def scaled(tensors: list[Any], factors: Any) -> list[Any]:
    """Each tensor times its own factor."""
    return list(torch._foreach_mul(tensors, list(factors.unbind())))


@torch.no_grad()
def clipped(tensors: list[Any], limit: Any) -> list[Any]:
    """Each tensor with its elements limited to [-limit, limit]."""
    return [torch.clamp(t, -limit.to(t.dtype), limit.to(t.dtype)) for t in tensors]


def current(variable: Any) -> Any:
    """The variable's value now, as a tensor that later assignments leave alone."""
    return variable.value.detach().clone()


def scalar(variable: Any) -> Any:
    """The value of a scalar variable: a tensor, or a number where that is free."""
    value = variable.value
    return value.item() if value.device.type == "cpu" else value.detach().clone()


@torch.no_grad()
def set_scalar(variable: Any, value: Any) -> None:
    """Sets a scalar variable to a tensor or number."""
    variable.value.fill_(value)


@torch.no_grad()
def add(variable: Any, values: Any) -> None:
    """Adds to a variable in place."""
    variable.value.add_(values)


@torch.no_grad()
def write_row(buffer: Any, index: Any, numbers: list[Any], row: list[Any]) -> None:
    """Writes two numbers, then vectors, at `index` of a two-dimensional variable.

    Where the host knows `index`, `row` may be Python floats instead of vectors.
    """
    table = buffer.value
    if isinstance(index, int):
        if isinstance(row[0], float):
            table[index] = torch.tensor([*numbers, *row])
        else:
            head = torch.tensor(numbers, dtype=torch.float32)
            torch.cat([head, *row], out=table[index])
        return
    head = torch.stack(numbers).float()
    line = torch.cat([head, *row])[None]
    table.index_copy_(0, index.reshape(1).long(), line)


def choose(due: Any, compute: Any, otherwise: Any) -> Any:
    """`compute()` where `due`, else `otherwise()`; both without side effects."""
    return compute() if bool(due) else otherwise()


def possibly(due: Any) -> bool:
    """Whether `due` may be true in the step being run or traced."""
    return bool(due)


def is_sparse(tensor: Any) -> bool:
    """Whether the gradient is stored as rows of a larger array."""
    return False


def fresh_step_function(model: Any) -> None:
    """Nothing to do: steps are not traced on this backend."""


def set_before(train_step: Any, model: Any, values: Callable) -> Any:
    """The train step, with variables of the model set first."""

    @functools.wraps(train_step)
    def set_and_train(*args: Any, **kwargs: Any) -> Any:
        for variable, value in values():
            set_scalar(variable, value)
        return train_step(*args, **kwargs)

    return set_and_train


def eagerly() -> Any:
    """A context in which operations give numbers at once, as all do here."""
    return contextlib.nullcontext()


def trace(function: Callable) -> None:
    """Calls a function of an int32 scalar: steps are not traced on this backend."""
    function(torch.zeros((), dtype=torch.int32))


def readable(variables: list[Any], optimizer: Any) -> bool:
    """Whether the optimizer's update can read what variables hold at the time."""
    return True


def host(optimizer: Any, model: Any, others: list[Any]) -> Any:
    """The optimizer that the state of features rides with, if it is another one."""
    return None


def is_compiled(function: Any) -> bool:
    """Whether a function is compiled: none that is is accepted."""
    return False


def forget_function(function: Any) -> None:
    """Nothing to forget."""


def track(optimizer: Any, variable: Any) -> None:
    """Nothing to do: the step reads and writes variables wherever they are."""


def untrack(optimizer: Any, variable: Any) -> None:
    """Nothing to undo."""


def synchronize(model: Any) -> None:
    """Nothing to do: variables are always up to date on this backend."""


def can_decay(optimizer: Any, variables: list[Any]) -> bool:
    """Whether weight decay accepts these variables: fused, it needs one at least."""
    return any(optimizer._use_weight_decay(variable) for variable in variables)


def count_skipped(optimizer: Any, counter: Any) -> dict[str, Any]:
    """Methods for a LossScaleOptimizer that count its skipped updates."""
    handle = optimizer._stateful_handle_non_finite_grads

    def handle_and_count() -> None:
        handle()
        counter.assign_add(1)

    return {"_stateful_handle_non_finite_grads": handle_and_count}


def _floats(tensors: list[Any]) -> list[Any]:
    return [t if t.dtype == torch.float32 else t.float() for t in tensors]
