"""Arithmetic on many tensors at once, by torch's `_foreach` kernels."""

from collections.abc import Callable
from typing import Any

import keras
import torch

from keras_deeptools.engine._backends.common import Together


def _binary(name: str) -> Callable[["TensorList", Any], "TensorList"]:
    function = getattr(torch, f"_foreach_{name}")

    def apply(this: "TensorList", other: Any) -> "TensorList":
        return TensorList(
            function(this.each, other.each if isinstance(other, TensorList) else other)
        )

    return apply


def _unary(name: str) -> Callable[["TensorList"], "TensorList"]:
    function = getattr(torch, f"_foreach_{name}")

    def apply(this: "TensorList") -> "TensorList":
        return TensorList(function(this.each))

    return apply


class TensorList(Together):
    """Tensors that are added, multiplied and so on pair by pair; not in place.

    Args:
        each: List of tensors.

    Example:

    >>> import torch
    >>> from keras_deeptools.engine._backends.torch.tensor_lists import TensorList
    >>> pair = TensorList([torch.tensor([1.0, 4.0]), torch.tensor([9.0])])
    >>> [tensor.tolist() for tensor in (pair.sqrt() * 2.0 + pair).each]
    [[3.0, 8.0], [15.0]]
    """

    def __init__(self, each: Any) -> None:
        self.each = list(each)

    __add__ = __radd__ = _binary("add")
    __mul__ = __rmul__ = _binary("mul")
    __truediv__ = _binary("div")
    sqrt = _unary("sqrt")
    abs = _unary("abs")

    def __sub__(self, other: Any) -> "TensorList":
        if isinstance(other, TensorList):
            return TensorList(torch._foreach_sub(self.each, other.each))
        return self + -other

    def at_least(self, number: Any) -> "TensorList":
        """Each element, or the number where that is larger."""
        if isinstance(number, float):
            return TensorList(torch._foreach_clamp_min(self.each, number))
        return TensorList([each.clamp(min=number) for each in self.each])

    def limited(self, limit: Any) -> "TensorList":
        """Each element within [-limit, limit]."""
        if isinstance(limit, float):
            raised = torch._foreach_clamp_min(self.each, -limit)
            return TensorList(torch._foreach_clamp_max(raised, limit))
        return TensorList([each.clamp(-limit, limit) for each in self.each])

    def moved(self, target: "TensorList", fraction: Any) -> "TensorList":
        """Each tensor moved by the fraction of the way to that of `target`."""
        if isinstance(fraction, float):
            return TensorList(torch._foreach_lerp(self.each, target.each, fraction))
        return self + (target - self) * fraction

    def total(self) -> Any:
        """The sum of all elements, a scalar."""
        return number(torch.stack([each.sum().float() for each in self.each]).sum())

    def write(self, variables: list[Any]) -> None:
        """Gives Keras variables these values."""
        held = [_held(variable).detach() for variable in variables]
        torch._foreach_copy_(held, self.each)


def tensor_list(values: list[Any], like: list[Any]) -> TensorList:
    """The values as one, each in the type of the variable in its place.

    Args:
        values: Tensors or Keras variables.
        like: As many Keras variables.
    """
    pairs = zip(map(_held, values), map(_held, like), strict=True)
    return TensorList([value.detach().to(variable.dtype) for value, variable in pairs])


def number(value: Any) -> Any:
    """A scalar as a Python number where that is free, else as a tensor."""
    held = _held(value)
    if not isinstance(held, torch.Tensor) or held.device.type != "cpu":
        return held.detach() if isinstance(held, torch.Tensor) else held
    return held.item()


def _held(value: Any) -> Any:
    return value.value if isinstance(value, keras.Variable) else value
