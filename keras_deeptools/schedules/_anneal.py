"""Phases that go from one value to the next along a curve."""

import math
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from keras_deeptools._arguments import (
    checked_bool,
    checked_float,
    checked_option,
    message,
)
from keras_deeptools.schedules._schedule import (
    ConfiguredSchedule,
    as_float,
    checked_steps,
    count_updates,
)

SHAPES = ("cosine", "linear")
"""The shapes that `rise` can have."""


class Phase(NamedTuple):
    """One stretch of a schedule.

    Args:
        end: Float. Step at which `last` is reached; it may lie between two updates.
        first: Float. Value at the end of the previous phase.
        last: Float. Value at `end`.
        shape: `"linear"`, `"cosine"`, or `"sqrt"` for phases that fall.
    """

    end: float
    first: float
    last: float
    shape: str


def run_phases(step: Any, phases: Sequence[Phase], xp: ModuleType) -> Any:
    """Evaluate two or more consecutive phases; the last value is held afterwards.

    A phase that has no length, or that ends before step 0, covers only the step at its
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


def checked_minimum(owner: str, value: Any, maximum: float) -> float:
    """Return `min_learning_rate` as a float in [0, maximum], or raise."""
    return checked_float(owner, "min_learning_rate", value, at_least=0, at_most=maximum)


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
    # Everything is measured from the end with the smaller value: there a sum of
    # positive terms keeps its relative precision.
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
    """Return the fractions of `num_steps` that have passed and that remain."""
    updates = count_updates(step, xp, last=num_steps)
    return (
        _fraction(updates, 0.0, num_steps, xp),
        _fraction(num_steps - updates, 0.0, num_steps, xp),
    )


def run_cycle(
    step: Any,
    values: tuple[float, float, float | None, float],
    total_steps: int,
    warmup_fraction: float,
    shape: str,
    xp: ModuleType,
) -> Any:
    """Go from the first value to the second, by the third if there is one, to the last.

    The ends of the phases lie between updates, at the same positions as in PyTorch.
    """
    first, peak, middle, last = values
    phases = [Phase(warmup_fraction * total_steps - 1, first, peak, shape)]
    if middle is not None:
        end = 2 * warmup_fraction * total_steps - 2
        phases.append(Phase(end, peak, middle, shape))
    phases.append(Phase(total_steps - 1, phases[-1].last, last, shape))
    return run_phases(step, phases, xp)


class Cycle(ConfiguredSchedule):
    """The arguments that learning rate and momentum of the 1cycle policy share."""

    def __init__(
        self, total_steps: int, warmup_fraction: float, shape: str, three_phase: bool
    ) -> None:
        owner = type(self).__name__
        self.total_steps = checked_steps(owner, "total_steps", total_steps)
        self.warmup_fraction = checked_float(
            owner, "warmup_fraction", warmup_fraction, at_least=0, at_most=1
        )
        self.shape = checked_option(owner, "shape", shape, SHAPES)
        self.three_phase = checked_bool(owner, "three_phase", three_phase)
        if three_phase and self.warmup_fraction > 0.5:
            raise ValueError(
                message(
                    owner,
                    "warmup_fraction",
                    "<= 0.5 with three_phase=True, which rises and falls for that long",
                    warmup_fraction,
                )
            )

    @property
    def last_step(self) -> int:
        """Int, the last update of the cycle."""
        return self.total_steps - 1
