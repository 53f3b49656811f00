"""Moving averages of variables, on torch with fused kernels."""

from typing import Any

import torch


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
