"""Scaling slices of weights back into a ball, on torch."""

import math
from typing import Any

import torch

from keras_deeptools.engine._scratch_torch import CHUNK, scratch


@torch.no_grad()
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
    if leading and value.is_contiguous() and value.shape[-1] <= CHUNK:
        squares = _column_squares(value.view(-1, value.shape[-1]))
        return squares.sqrt_().view(*[1] * len(dims), -1)
    return value.square().sum(dim=dims, keepdim=True).sqrt()


def _column_squares(table: Any) -> Any:
    """Sum of squares of each column; several times as fast as `vector_norm`."""
    num_columns = table.shape[1]
    parts = []
    for part in table.split(max(CHUNK // num_columns, 1)):
        if part.dtype == torch.float32:
            out = scratch(part.numel()).view(part.shape)
            parts.append(torch.mul(part, part, out=out).sum(dim=0))
        else:
            parts.append(part.square().sum(dim=0))
    return parts[0] if len(parts) == 1 else torch.stack(parts).sum(dim=0)
