"""Warmup, a long plateau, and a decay at the end."""

from types import ModuleType
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import checked_float, checked_option, message
from keras_deeptools.schedules._anneal import Phase, run_phases
from keras_deeptools.schedules._schedule import (
    ConfiguredSchedule,
    checked_steps,
    function_of,
)

DECAY_SHAPES = ("linear", "cosine", "sqrt")


@function_of("WarmupStableDecay")
def warmup_stable_decay(
    step: Any,
    *,
    max_learning_rate: float,
    total_steps: int,
    num_warmup_steps: int,
    num_decay_steps: int,
    initial_factor: float = 0.0,
    final_factor: float = 0.0,
    shape: str = "linear",
    xp: ModuleType = np,
) -> Any:
    """Return a linear rise, a plateau, and a decay over the last steps.

    Args:
        {{step}}
        max_learning_rate: Float > 0. The value of the plateau.
        total_steps: Int >= 1. Updates until the end of the decay.
        num_warmup_steps: Int >= 0. Updates of the rise.
        num_decay_steps: Int >= 0. Updates of the decay.
        initial_factor: Float in [0, 1]. Ratio of the value at step 0 to the plateau.
        final_factor: Float in [0, 1]. Ratio of the value at `total_steps` to the
            plateau.
        shape: `"linear"`, `"cosine"` or `"sqrt"`, of the decay.
    {{xp_and_returns}}

    Example:

    >>> from keras_deeptools.schedules import warmup_stable_decay
    >>> warmup_stable_decay(
    ...     [0, 5, 10, 80, 90],
    ...     max_learning_rate=1.0,
    ...     total_steps=100,
    ...     num_warmup_steps=10,
    ...     num_decay_steps=20,
    ... ).tolist()
    [0.0, 0.5, 1.0, 1.0, 0.5]
    """
    peak = max_learning_rate
    phases = [
        Phase(num_warmup_steps, initial_factor * peak, peak, "linear"),
        Phase(total_steps - num_decay_steps, peak, peak, "linear"),
        Phase(total_steps, peak, final_factor * peak, shape),
    ]
    return run_phases(step, phases, xp)


@keras.saving.register_keras_serializable(package="keras_deeptools")
class WarmupStableDecay(ConfiguredSchedule):
    """Learning rate that warms up, stays, and decays only at the end (WSD).

    The plateau can be prolonged without starting over: restore a checkpoint from it and
    start the decay later. The "sqrt" decay did better than the linear one in Haegele et
    al.

    Args:
        max_learning_rate: Float > 0. The value of the plateau.
        total_steps: Int >= 1. Updates until the end of the decay: the last value is
            that of step `total_steps`, the first one after a run of that length.
        num_warmup_steps: Int >= 0. Updates of the linear rise.
        num_decay_steps: Int >= 0. Updates of the decay, at the end. With 0 there is
            none, and `final_factor` has no effect.
        initial_factor: Float in [0, 1]. Ratio of the value at step 0 to the plateau;
            with 0 the first update changes nothing.
        final_factor: Float in [0, 1]. Ratio of the last value to the plateau.
        shape: Shape of the decay. `"linear"`, `"cosine"` or `"sqrt"`, which is
            `1 - sqrt(t)`: steep at first, gentler at the end.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is outside its range, or warmup and decay together
            are longer than `total_steps`.

    Example:

    >>> from keras_deeptools.schedules import WarmupStableDecay
    >>> schedule = WarmupStableDecay(
    ...     1.0, total_steps=100, num_warmup_steps=10, num_decay_steps=20
    ... )
    >>> schedule.values([0, 5, 10, 80, 90, 100]).tolist()
    [0.0, 0.5, 1.0, 1.0, 0.5, 0.0]

    Reference:
        Hu et al., 2024, section 4 (MiniCPM). https://arxiv.org/abs/2404.06395;
        Haegele et al., 2024, section 3 (sqrt). https://arxiv.org/abs/2405.18392
    """

    def __init__(
        self,
        max_learning_rate: float,
        total_steps: int,
        num_warmup_steps: int,
        num_decay_steps: int,
        initial_factor: float = 0.0,
        final_factor: float = 0.0,
        shape: str = "linear",
    ) -> None:
        owner = type(self).__name__
        self.max_learning_rate = checked_float(
            owner, "max_learning_rate", max_learning_rate, above=0
        )
        self.total_steps = checked_steps(owner, "total_steps", total_steps)
        self.num_warmup_steps = checked_steps(
            owner, "num_warmup_steps", num_warmup_steps, minimum=0
        )
        self.num_decay_steps = checked_steps(
            owner, "num_decay_steps", num_decay_steps, minimum=0
        )
        longest = self.total_steps - self.num_warmup_steps
        if self.num_decay_steps > longest:
            rule = f"at most total_steps - num_warmup_steps = {longest}"
            raise ValueError(
                message(
                    owner,
                    "num_decay_steps",
                    rule,
                    num_decay_steps,
                    "Warmup and decay must not overlap.",
                )
            )
        self.initial_factor = checked_float(
            owner, "initial_factor", initial_factor, at_least=0, at_most=1
        )
        self.final_factor = checked_float(
            owner, "final_factor", final_factor, at_least=0, at_most=1
        )
        self.shape = checked_option(owner, "shape", shape, DECAY_SHAPES)

    @property
    def last_step(self) -> int:
        """Int, `total_steps`."""
        return self.total_steps

    def evaluate(self, step: Any, xp: ModuleType) -> Any:
        return warmup_stable_decay(step, **self.get_config(), xp=xp)
