"""The arguments that `lsuv` and `rebalance` have in common."""

import warnings
from collections.abc import Sequence
from typing import Any


def check_scaling(
    owner: str, target: Any, tolerance: Any, max_iterations: Any, verbose: Any
) -> None:
    """Raises for an argument out of range.

    Args:
        owner: Str, name of the caller.
        target: Must be a number > 0.
        tolerance: Must be a number in (0, 1).
        max_iterations: Must be an int >= 1.
        verbose: Must be `"auto"`, 0 or 1.
    """
    if not _is_number(target) or not 0 < target < float("inf"):
        raise ValueError(
            f"{owner}: `target` must be a number > 0. Received: target={target!r}. "
            "Give the standard deviation that outputs shall have, such as 1."
        )
    if not _is_number(tolerance) or not 0 < tolerance < 1:
        raise ValueError(
            f"{owner}: `tolerance` must be in (0, 1). Received: "
            f"tolerance={tolerance!r}. Give a relative deviation, such as 0.05."
        )
    whole = isinstance(max_iterations, int) and not isinstance(max_iterations, bool)
    if not whole or max_iterations < 1:
        raise ValueError(
            f"{owner}: `max_iterations` must be an int >= 1. Received: "
            f"max_iterations={max_iterations!r}."
        )
    if verbose not in ("auto", 0, 1):
        raise ValueError(
            f'{owner}: `verbose` must be "auto", 0 or 1. Received: verbose={verbose!r}.'
        )


def check_kernels(owner: str, model: Any, walks: Sequence[Any]) -> None:
    """Raises for a model without kernels; warns where all of them are left alone.

    Args:
        owner: Str, name of the caller.
        model: `keras.Model`.
        walks: `ScaleWalk` of each of its networks.
    """
    if any(walk.kernels for walk in walks):
        return
    exempt = {name: why for walk in walks for name, why in walk.exempt.items()}
    if not exempt:
        raise ValueError(
            f"{owner}: `model` must have layers with kernels to scale. Received: "
            f"{model.name!r}, which has none. Give a model with Dense or convolutional "
            "layers."
        )
    named = ", ".join(f"{name} ({why})" for name, why in list(exempt.items())[:5])
    warnings.warn(
        f"{owner}: no layer of {model.name!r} was scaled; left alone were: {named}.",
        stacklevel=3,
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
