"""Running and differentiating a whole pass, on torch."""

from collections.abc import Callable
from typing import Any

import torch

from keras_deeptools.engine._backends.common import make_updates as make_updates


def compiled(function: Callable) -> Callable:
    """The function as it is: each operation runs at once, without a graph."""
    return torch.no_grad()(function)


def trace_state() -> Any:
    """What differs inside of `vmap`; other loops run their bodies like any code."""
    return torch._C._functorch.maybe_current_level()


def differentiate(run: Callable, values: list[Any]) -> tuple[Any, list[Any], list[Any]]:
    """Gradients of a loss; for arguments and result see JAX's."""
    probed: list[Any] = []

    def probe(tensor: Any) -> Any:
        probed.append(tensor if tensor.requires_grad else _leaf(tensor))
        return probed[-1]

    with torch.enable_grad():
        leaves = [_leaf(value) for value in values]
        loss, other = run(leaves, probe)
    wanted = [*leaves, *probed]
    if not loss.requires_grad:
        gradients = [torch.zeros_like(each) for each in wanted]
    else:
        gradients = list(torch.autograd.grad(loss, wanted, materialize_grads=True))
    return other, gradients[: len(leaves)], gradients[len(leaves) :]


def _leaf(tensor: Any) -> Any:
    return tensor.detach().requires_grad_()
