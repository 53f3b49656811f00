"""Whole passes, differentiated or stochastic, on torch."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import torch

from keras_deeptools.engine._backends.common import make_updates as make_updates

PADS_ROWS = False
"""Whether batches are padded to few shapes, because every shape is compiled."""
NORMAL_BY_PREFIX = False
"""Whether `normal` for a smaller number of samples gives the first of a larger one."""


def compiled(function: Callable, once: bool = False) -> Callable:
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


def is_exporting() -> bool:
    """Whether a trace is under way in which Keras cannot draw."""
    return torch.compiler.is_exporting()


def unseeded(kind: str, shape: tuple[int, ...]) -> Any:
    """Random float32 from torch's own stream.

    Args:
        kind: `"uniform"`, in [0, 1), or `"normal"`, from N(0, 1).
        shape: Tuple of ints.
    """
    draw = {"uniform": torch.rand, "normal": torch.randn}[kind]
    return draw(shape, device=keras.ops.zeros(()).device)


def seed_tensor(words: np.ndarray) -> Any:
    """Seeds, uint32 `(num_draws, 2)`, in a form of which `bits` takes one entry."""
    return words.astype(np.int64)


def bits(seed: Any, rows: int, columns: int) -> Any:
    """Random int16 `(rows, columns)`; smaller arrays are the start of larger ones."""
    generator = _generator(seed)
    words = torch.empty(
        (rows, -(-columns // 4)), dtype=torch.int64, device=generator.device
    )
    words.random_(-(2**63), None, generator=generator)
    return words.view(torch.int16)[:, :columns]


def uniform(seed: Any, rows: int, columns: int) -> Any:
    """Random float32 in [0, 1) of shape `(rows, columns)`."""
    generator = _generator(seed)
    return torch.rand((rows, columns), generator=generator, device=generator.device)


def normal(seed: Any, rows: int, columns: int) -> Any:
    """Random float32 from N(0, 1) of shape `(rows, columns)`."""
    generator = _generator(seed)
    return torch.randn((rows, columns), generator=generator, device=generator.device)


def _generator(seed: Any) -> torch.Generator:
    device = keras.ops.zeros(()).device
    return torch.Generator(device).manual_seed(int(seed[0]) << 32 | int(seed[1]))


def masked(x: Any, keep: Any, scale: float) -> Any:
    """`x * scale` where `keep`, else zero; `keep` broadcasts to `x`."""
    return (x * scale).masked_fill_(~keep, 0)


def rows_from(x: Any, start: Any, rows: int) -> Any:
    """The `rows` entries of `x` along its first axis, from index `start` on."""
    return x[start : start + rows]


def compiled_reading(
    function: Callable[..., Any], variables: list[Any], static: tuple[str, ...] = ()
) -> Callable[..., Any]:
    """`function`, without gradients and as it is; for the arguments see JAX's."""

    def call(*args: Any, **options: Any) -> Any:
        with keras.StatelessScope(), torch.no_grad():
            return function(*args, **options)

    return call


def traced(function: Callable[..., Any], *args: Any) -> None:
    """Runs the Python code of `function` once."""
    compiled_reading(function, [])(*args)
