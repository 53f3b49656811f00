"""Counts of optimizer updates: as arguments, and as arrays on every backend."""

from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_deeptools._arguments import checked_count, message

LARGEST_COUNT = 2**30
"""Counts stay under it, so that 32-bit sums and differences of two cannot overflow."""


def checked_steps(
    owner: str, argument: str, value: Any, *, minimum: int = 1, remedy: str = ""
) -> int:
    """Return a number of steps as a Python int in [minimum, 2**30), or raise."""
    rule = f"an integer in [{minimum}, 2**30)"
    return checked_count(
        owner, argument, value, minimum, below=LARGEST_COUNT, rule=rule, remedy=remedy
    )


def checked_boundaries(owner: str, boundaries: Any, num_parts: int) -> list[int]:
    """Return strictly increasing step counts, one fewer than `num_parts`."""
    rule = "a list of integers >= 1, strictly increasing"
    if isinstance(boundaries, str | bytes) or not isinstance(boundaries, Iterable):
        raise TypeError(message(owner, "boundaries", rule, boundaries))
    steps = [checked_steps(owner, "boundaries", step) for step in boundaries]
    if any(late <= early for early, late in zip(steps, steps[1:], strict=False)):
        raise ValueError(message(owner, "boundaries", rule, steps))
    if len(steps) != num_parts - 1:
        raise ValueError(
            message(
                owner,
                "boundaries",
                f"of length {num_parts - 1}, one fewer than the {num_parts} parts",
                steps,
                "Give the first step of every part but the first.",
            )
        )
    return steps


MAX_STEP = 2**31 - 1
"""Largest count that a 32-bit integer holds; counts beyond it are taken as it."""


def as_float(value: Any, xp: ModuleType) -> Any:
    """Convert to float64 on the host and to float32 everywhere else."""
    return xp.array(value, dtype="float64" if xp is np else "float32")


def as_integer(value: Any, xp: ModuleType) -> Any:
    """Convert to int64 on the host and to int32 everywhere else."""
    return xp.array(value, dtype="int64" if xp is np else "int32")


def count_updates(step: Any, xp: ModuleType, last: int = MAX_STEP) -> Any:
    """Convert `step` to an integer array in [0, last].

    Args:
        step: Integer scalar or array: Python int, numpy array, tensor or variable.
        xp: Array namespace.
        last: Int in [0, 2**31 - 1]. Larger steps become it.

    Returns:
        Integer array of the same shape. Negative steps become 0.

    Raises:
        ValueError: If `step` does not hold integers.
    """
    if xp is np:
        array = ops.convert_to_numpy(step)
        dtype = array.dtype.name
    else:
        array = xp.array(step)
        dtype = keras.utils.standardize_dtype(array.dtype)
    if "int" not in dtype:
        raise ValueError(
            "schedules: `step` must be an integer or an array of integers. "
            f"Received: step of dtype {dtype}. Count optimizer updates from 0."
        )
    if dtype in ("int32", "int64"):
        # Before the conversion, which would wrap large counts around.
        return as_integer(xp.clip(array, 0, last), xp)
    return xp.clip(as_integer(array, xp), 0, last)


def num_reached(updates: Any, boundaries: Sequence[int], xp: ModuleType) -> Any:
    """Count the `boundaries` that are at or under each of `updates`."""
    reached = xp.expand_dims(updates, -1) >= as_integer(
        np.array(boundaries, dtype="int32"), xp
    )
    return xp.sum(as_integer(reached, xp), axis=-1)
