"""Tensor operations on torch: fused `_foreach` kernels, no host synchronization."""

import contextlib
import functools
import math
import threading
from collections.abc import Callable, Iterable
from typing import Any

import torch

from keras_deeptools.engine._backends.common import (
    dense as dense,
    is_traced as is_traced,
    keeps_contents_apart as keeps_contents_apart,
)
from keras_deeptools.engine._backends.sampled_norms import sample, scaled_up
from keras_deeptools.engine._backends.torch.tensor_lists import (
    number as number,
    tensor_list as tensor_list,
)
from keras_deeptools.engine._keras_private.layers import flat_layers

TAKES_LISTS = True


@torch.no_grad()
def move_averages(averages: list[Any], values: list[Any], rate: Any) -> None:
    """Moves each average towards a value by the fraction `rate` of the way.

    Args:
        averages: Float32 `keras.Variable`s.
        values: Tensors of their shapes, of any floating type.
        rate: Scalar in [0, 1].
    """
    held = [average.value for average in averages]
    wide = [
        value if value.dtype == torch.float32 else value.float() for value in values
    ]
    if isinstance(rate, float):
        torch._foreach_lerp_(held, wide, rate)
        return
    changes = torch._foreach_sub(wide, held)
    torch._foreach_mul_(changes, rate)
    torch._foreach_add_(held, changes)


_CHUNK = 2**18
"""Elements that stay in a processor's cache."""

_MEMORY = threading.local()


def _scratch(num_elements: int) -> Any:
    """A float32 vector of up to `_CHUNK` elements; the next call may return it too."""
    if not hasattr(_MEMORY, "vector"):
        _MEMORY.vector = torch.empty(_CHUNK)
    return _MEMORY.vector[:num_elements]


@torch.no_grad()
def limit_norms(
    variables: list[Any], axes: list[tuple[int, ...]], limit: Any, shrink: list[float]
) -> Any:
    """Scales down what is over `limit`; for arguments and result see JAX's."""
    fractions = []
    for variable, dims, hair in zip(variables, axes, shrink, strict=True):
        value = variable.value
        if not value.numel():
            fractions.append(value.new_zeros((), dtype=torch.float32))
            continue
        norm = _slice_norms(value, dims)
        over = None
        if value.device.type == "cpu":
            largest = norm.max().item()
            if largest <= limit:
                fractions.append(norm.new_zeros((), dtype=torch.float32))
                continue
            if math.isfinite(largest):
                over = norm > limit
            else:
                norm = _slice_norms(value.double(), dims)
        if over is None:
            over = (norm > limit) & torch.isfinite(norm)
        fractions.append(over.mean(dtype=torch.float32))
        value.mul_(torch.where(over, limit * hair / norm, 1.0))
    return torch.stack(fractions)


@torch.no_grad()
def slice_norms(tensors: list[Any], axes: list[tuple[int, ...]]) -> list[Any]:
    """L2 norms over `axes` of each tensor, which stay as axes of length 1."""
    return [
        _slice_norms(tensor, dims) for tensor, dims in zip(tensors, axes, strict=True)
    ]


def _slice_norms(value: Any, dims: tuple[int, ...]) -> Any:
    if not dims:
        return value.float().abs()
    if value.device.type == "cuda":
        # Wide sums cannot overflow, which spares a look that would stall the queue.
        wide = torch.float64
        return torch.linalg.vector_norm(value, dim=dims, keepdim=True, dtype=wide)
    value = value if value.dtype == torch.float64 else value.float()
    if dims == (value.ndim - 1,):
        return torch.linalg.vector_norm(value, dim=dims, keepdim=True)
    leading = dims == tuple(range(value.ndim - 1))
    if leading and value.is_contiguous() and value.shape[-1] <= _CHUNK:
        squares = _column_squares(value.view(-1, value.shape[-1]))
        return squares.sqrt_().view(*[1] * len(dims), -1)
    return value.square().sum(dim=dims, keepdim=True).sqrt()


def _column_squares(table: Any) -> Any:
    """Sum of squares of each column; several times as fast as `vector_norm`."""
    num_columns = table.shape[1]
    parts = []
    for part in table.split(max(_CHUNK // num_columns, 1)):
        if part.dtype == torch.float32:
            out = _scratch(part.numel()).view(part.shape)
            parts.append(torch.mul(part, part, out=out).sum(dim=0))
        else:
            parts.append(part.square().sum(dim=0))
    return parts[0] if len(parts) == 1 else torch.stack(parts).sum(dim=0)


TINY = 1e-36
"""Sums of squares under this are recomputed with scaling (norm below 1e-18)."""

COMPILES = False
"""Whether functions of the user's may be traced once and kept."""

_LONGEST = 2**22
"""Elements in one sum, so that rounding does not grow with the tensor."""


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
    for part in tensor.reshape(-1).split(_CHUNK):
        ones = torch.ne(part, 0, out=_scratch(len(part)))
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
    if len(flat) <= _LONGEST:
        return torch.dot(flat, flat)
    return torch.stack([torch.dot(part, part) for part in flat.split(_LONGEST)]).sum()


def _careful_norms(values: list[Any]) -> tuple[Any, Any]:
    largest = max_abs(values)
    usable = (largest > 0) & torch.isfinite(largest)
    scale = torch.where(usable, largest, torch.ones_like(largest))
    shrunk = torch._foreach_div(values, list(scale.unbind()))
    result = scale * torch.stack(torch._foreach_norm(shrunk, 2))
    bad = [torch.count_nonzero(~torch.isfinite(v)) for v in values]
    return result, torch.stack(bad).float()


@torch.no_grad()
def snapshot(
    variables: list[Any], kept: list[Any] | None, limit: int | None = None
) -> list[Any]:
    """The variables' values, or samples of `limit`; later assignments leave them.

    `kept` is an earlier snapshot of the same variables, whose memory is used again.
    """
    values = [sample(variable.value, limit) for variable in variables]
    if kept is None or [k.shape for k in kept] != [v.shape for v in values]:
        return [value.clone() for value in values]
    torch._foreach_copy_(kept, values)
    return kept


@torch.no_grad()
def update_norms(
    variables: list[Any], before: list[Any], limit: int | None = None
) -> tuple[Any, Any]:
    """L2 norms of the change since a snapshot with this `limit`, and of itself.

    The snapshot's memory is overwritten with the change.
    """
    values = [sample(variable.value, limit) for variable in variables]
    if values[0].device.type != "cpu":
        weights = torch.stack(torch._foreach_norm(_floats(before), 2))
        torch._foreach_sub_(before, values)
        changes = torch.stack(torch._foreach_norm(_floats(before), 2))
    else:
        # One variable at a time stays in the processor's cache.
        squares = []
        for old, value in zip(before, values, strict=True):
            weight = _square(*_floats([old]))
            squares.append(torch.stack([_square(*_floats([old.sub_(value)])), weight]))
        changes, weights = torch.stack(squares, dim=1).sqrt()
    return (
        scaled_up(changes, variables, limit),
        scaled_up(weights, variables, limit),
    )


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
    """Whether the gradient is stored in sparse form."""
    return False


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


def _floats(tensors: list[Any]) -> list[Any]:
    return [t if t.dtype == torch.float32 else t.float() for t in tensors]


def is_mutable(value: Any) -> bool:
    """Whether a value is a tensor that can be written to."""
    return isinstance(value, torch.Tensor)


def modules_in(model: Any) -> tuple[list[Any], list[Any], list[Any]]:
    """Modules, parameters and buffers of a model, which is a `torch.nn.Module`.

    To torch the layers of a model that has a graph are no modules inside of it.
    """
    roots = [model, *flat_layers(model)]
    return (
        _once(module for root in roots for module in root.modules()),
        _once(parameter for root in roots for parameter in root.parameters()),
        _once(buffer for root in roots for buffer in root.buffers()),
    )


def _once(found: Iterable[Any]) -> list[Any]:
    return list({id(each): each for each in found}.values())


LISTS_ROWS = False
"""Whether gradients of embeddings are sparse, with an entry for each use of a token."""
