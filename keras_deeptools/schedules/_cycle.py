"""What the learning rate and the momentum of the 1cycle policy share."""

from types import ModuleType
from typing import Any

from keras_deeptools._arguments import (
    checked_bool,
    checked_float,
    checked_option,
    message,
)
from keras_deeptools.schedules._anneal import SHAPES, Phase, run_phases
from keras_deeptools.schedules._arguments import checked_count
from keras_deeptools.schedules._base import Schedule


def run_cycle(
    step: Any,
    *,
    values: tuple[float, float, float | None, float],
    total_steps: int,
    warmup_fraction: float,
    shape: str,
    xp: ModuleType,
) -> Any:
    """Go from the first value to the second, by the third if there is one, to the last.

    The ends of the phases lie between updates, exactly where PyTorch puts them.
    """
    first, peak, middle, last = values
    phases = [Phase(warmup_fraction * total_steps - 1, first, peak, shape)]
    if middle is not None:
        end = 2 * warmup_fraction * total_steps - 2
        phases.append(Phase(end, peak, middle, shape))
    phases.append(Phase(total_steps - 1, phases[-1].last, last, shape))
    return run_phases(step, phases, xp)


class Cycle(Schedule):
    """The arguments that both halves of the policy share."""

    def __init__(
        self, total_steps: int, warmup_fraction: float, shape: str, three_phase: bool
    ) -> None:
        owner = type(self).__name__
        self.total_steps = checked_count(owner, "total_steps", total_steps)
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

    def get_config(self) -> dict[str, Any]:
        """Return the shared arguments."""
        return {
            "total_steps": self.total_steps,
            "warmup_fraction": self.warmup_fraction,
            "shape": self.shape,
            "three_phase": self.three_phase,
        }
