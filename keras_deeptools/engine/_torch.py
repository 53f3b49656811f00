"""Tensor operations on torch: fused `_foreach` kernels, no host synchronization."""

import contextlib
from typing import Any

import torch

TINY = 1e-36
"""Sums of squares under this are recomputed with scaling (norm below 1e-18)."""


def check_supported(optimizer: Any, model: Any) -> None:
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
    extremes = [torch.stack(torch.aminmax(t)) for t in _floats(tensors)]
    return torch.stack(extremes).abs().amax(dim=1)


@torch.no_grad()
def zero_fraction(tensors: list[Any]) -> Any:
    """Fraction of elements that are exactly zero, float32 vector."""
    nonzero = torch.stack([torch.count_nonzero(t) for t in tensors])
    sizes = torch.tensor([max(t.numel(), 1) for t in tensors], device=nonzero.device)
    return 1.0 - nonzero.float() / sizes.float()


@torch.no_grad()
def norms(tensors: list[Any]) -> tuple[Any, Any]:
    """L2 norm and number of non-finite elements of each tensor.

    One read of each tensor in the normal case; where a norm overflows, underflows
    or is not a number, a second, scaled pass makes it exact and counts the elements
    to blame (always taken on accelerators, where looking would stall the queue).
    """
    values = _floats(tensors)
    result = torch.stack(torch._foreach_norm(values, 2))
    if result.device.type == "cpu":
        if bool(((result > TINY**0.5) & torch.isfinite(result)).all()):
            return result, torch.zeros_like(result)
    return _careful_norms(values)


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
def change_norms(variables: list[Any], before: list[Any]) -> Any:
    """L2 norm of the difference between the variables and their snapshot.

    The snapshot's memory is overwritten with the difference.
    """
    torch._foreach_sub_(before, [variable.value for variable in variables])
    return torch.stack(torch._foreach_norm(_floats(before), 2))


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


@torch.no_grad()
def limit_norms(
    variables: list[Any], axes: list[tuple[int, ...]], limit: Any, shrink: list[float]
) -> Any:
    """Scales down, in place, the slices of each variable whose L2 norm is over `limit`.

    Args:
        variables: Keras variables.
        axes: For each variable the axes that one norm sums over.
        limit: Scalar tensor > 0.
        shrink: For each variable, the fraction of `limit` that scaling leads to: a
            hair under 1, so that rounding does not lead out of the ball.

    Returns:
        Float32 vector, the fraction of slices of each variable that were scaled.
        Slices within the limit, and those with non-finite elements, keep every bit.
    """
    fractions = []
    for variable, dims, hair in zip(variables, axes, shrink, strict=True):
        value = variable.value
        norm = _slice_norms(value, dims)
        over = norm > limit
        fractions.append(over.float().mean())
        if value.device.type == "cpu":
            if not bool(over.any()):
                continue
            if bool(torch.isinf(norm).any()):
                norm = _slice_norms(value.double(), dims)
        over = over & torch.isfinite(norm)
        fractions[-1] = over.float().mean()
        value.mul_(torch.where(over, limit * hair / norm, torch.ones_like(norm)))
    return torch.stack(fractions)


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
    # Reducing leading axes is several times faster this way.
    return value.square().sum(dim=dims, keepdim=True).sqrt()


@torch.no_grad()
def write_row(buffer: Any, index: Any, row: Any) -> None:
    """Writes `row` at `index` of a two-dimensional variable, in place."""
    buffer.value.index_copy_(0, index.reshape(1).long(), row[None].to(buffer.value))


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


def track(optimizer: Any, variable: Any) -> None:
    """Nothing to do: the step reads and writes variables wherever they are."""


def untrack(optimizer: Any, variable: Any) -> None:
    """Nothing to undo."""


def synchronize(model: Any) -> None:
    """Nothing to do: variables are always up to date on this backend."""


def count_skipped(optimizer: Any, counter: Any) -> dict[str, Any]:
    """Methods for a LossScaleOptimizer that count its skipped updates."""
    handle = optimizer._stateful_handle_non_finite_grads

    def handle_and_count() -> None:
        handle()
        counter.assign_add(1)

    return {"_stateful_handle_non_finite_grads": handle_and_count}


def _floats(tensors: list[Any]) -> list[Any]:
    return [t if t.dtype == torch.float32 else t.float() for t in tensors]
