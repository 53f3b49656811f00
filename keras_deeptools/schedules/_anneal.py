"""Phases that go from one value to the next along a curve."""

import math
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from keras_deeptools.schedules._steps import as_float, count_updates

SHAPES = ("cosine", "linear")
"""The shapes of `rise`."""


class Phase(NamedTuple):
    """One stretch of a schedule.

    Args:
        end: Float. Step at which `last` is reached; it may lie between two updates.
        first: Float. Value at the end of the phase before.
        last: Float. Value at `end`.
        shape: `"linear"`, `"cosine"`, or `"sqrt"` for phases that fall.
    """

    end: float
    first: float
    last: float
    shape: str


def run_phases(step: Any, phases: Sequence[Phase], xp: ModuleType) -> Any:
    """Evaluate two or more consecutive phases; the last value is held afterwards.

    A phase without length, or that ends before step 0, takes no step but the one at its
    end, which gets its last value.
    """
    updates = count_updates(step, xp, last=math.floor(phases[-1].end))
    starts = [0.0, *(phase.end for phase in phases[:-1])]
    values = [
        _anneal(updates, begin, phase, xp)
        for begin, phase in zip(starts, phases, strict=True)
    ]
    value = values[-1]
    for phase, earlier in zip(phases[-2::-1], values[-2::-1], strict=True):
        value = xp.where(updates <= math.floor(phase.end), earlier, value)
    return value


def rise(position: Any, shape: str, xp: ModuleType) -> Any:
    """Map a position in [0, 1] to a height in [0, 1] along a line or a half cosine."""
    if shape == "linear":
        return position
    # sin^2 keeps its relative precision near 0, where (1 - cos) / 2 loses it.
    sine = xp.sin((0.5 * math.pi) * position)
    return sine * sine


def _anneal(updates: Any, start: float, phase: Phase, xp: ModuleType) -> Any:
    length = phase.end - start
    if length <= 0 or phase.first == phase.last:
        return as_float(phase.last, xp)
    # Everything is measured from the end with the smaller value: a sum of positive
    # terms keeps its relative precision there.
    if phase.first <= phase.last:
        position = _elapsed(updates, start, length, xp)
    else:
        position = _remaining(updates, phase.end, length, xp)
    if phase.shape == "sqrt":
        # 1 - sqrt(t) without the cancellation near t = 1.
        elapsed = xp.maximum(_elapsed(updates, start, length, xp), 0.0)
        height = position / (1.0 + xp.sqrt(elapsed))
    else:
        height = rise(position, phase.shape, xp)
    low, high = sorted((phase.first, phase.last))
    return low + (high - low) * height


def _elapsed(updates: Any, start: float, length: float, xp: ModuleType) -> Any:
    whole = math.floor(start)
    return _fraction(updates - whole, start - whole, length, xp)


def _remaining(updates: Any, end: float, length: float, xp: ModuleType) -> Any:
    whole = math.ceil(end)
    return _fraction(whole - updates, whole - end, length, xp)


def _fraction(count: Any, excess: float, length: float, xp: ModuleType) -> Any:
    """Return `(count - excess) / length`."""
    distance = as_float(count, xp)
    if excess:
        # Two float32 numbers hold the excess, so that no digit of a small distance
        # is lost.
        coarse = float(np.float32(excess))
        distance = (distance - coarse) - (excess - coarse)
    return distance * (1.0 / length)


def ramp_positions(step: Any, num_steps: int, xp: ModuleType) -> tuple[Any, Any]:
    """Return the parts of `num_steps` that have passed and that remain."""
    updates = count_updates(step, xp, last=num_steps)
    return (
        _fraction(updates, 0.0, num_steps, xp),
        _fraction(num_steps - updates, 0.0, num_steps, xp),
    )
