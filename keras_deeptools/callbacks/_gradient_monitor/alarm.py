"""What happens when gradients are found to be wrong."""

import warnings
from typing import Any

from keras_deeptools.statistics import GradientProblem

MOST_NAMED = 8
"""Layers named in a warning; `GradientMonitor.problems` has them all."""


class GradientWarning(UserWarning):
    """Gradients vanish, explode, are zero or not finite, or updates are out of scale.

    Example:

    >>> import warnings
    >>> from keras_deeptools.callbacks import GradientWarning
    >>> warnings.filterwarnings("ignore", category=GradientWarning)
    """


class GradientProblemError(RuntimeError):
    """Raised by `GradientMonitor(on_problem="raise")`.

    Args:
        message: Str.
        problems: List of `GradientProblem`, those that were found together.

    Example:

    >>> from keras_deeptools.callbacks import GradientProblemError
    >>> GradientProblemError("dead layers", problems=[]).problems
    []
    """

    def __init__(
        self, message: str, problems: list[GradientProblem] | None = None
    ) -> None:
        super().__init__(message)
        self.problems = list(problems or [])


def message_of(problems: list[GradientProblem]) -> str:
    """One message about problems of one kind, with the first as the example."""
    first = problems[0]
    names = list(dict.fromkeys(problem.variable for problem in problems))
    listed = ", ".join(names[:MOST_NAMED])
    if len(names) > MOST_NAMED:
        listed += f" and {len(names) - MOST_NAMED} more"
    what = "updates" if "updates" in first.kind else "gradients"
    kind = first.kind.removesuffix(" updates")
    return (
        f"GradientMonitor: {kind} {what} at step {first.step} in {listed}. "
        f"{first.variable}: {first.evidence} {first.remedy}"
    )


def sound(
    problems: list[GradientProblem], on_problem: str, told: set[str], callback: Any
) -> None:
    """Acts on problems that are new: each kind is told once per run.

    Args:
        problems: List of `GradientProblem`.
        on_problem: `"ignore"`, `"warn"`, `"stop"` or `"raise"`.
        told: Kinds that have been told before; the new ones are added.
        callback: The callback whose model is to stop.
    """
    kinds = dict.fromkeys(p.kind for p in problems if p.kind not in told)
    if on_problem == "ignore" or not kinds:
        return
    told.update(kinds)
    messages = [message_of([p for p in problems if p.kind == kind]) for kind in kinds]
    if on_problem == "raise":
        raise GradientProblemError("\n".join(messages), problems)
    for message in messages:
        warnings.warn(GradientWarning(message), stacklevel=3)
    if on_problem == "stop":
        callback.model.stop_training = True
