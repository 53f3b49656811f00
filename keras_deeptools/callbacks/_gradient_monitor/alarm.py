"""Warnings and errors about gradients that are wrong."""

import warnings
from typing import Any

from keras_deeptools._finding import Finding, FindingsError

MOST_NAMED = 8
"""Layers named in a warning; `GradientMonitor.findings` has them all."""

OF_GRADIENTS = {"dead", "exploding", "non-finite", "vanishing"}
"""Kinds of findings that describe gradients."""


class GradientWarning(UserWarning):
    """Gradients vanish, explode, are zero or not finite, or updates are out of scale.

    Example:

    >>> import warnings
    >>> from keras_deeptools.callbacks import GradientWarning
    >>> warnings.filterwarnings("ignore", category=GradientWarning)
    """


class GradientProblemError(FindingsError):
    """Raised by `GradientMonitor(on_problem="raise")`.

    Args:
        message: Str.
        findings: List of `Finding`, those that were found together.

    Example:

    >>> from keras_deeptools.callbacks import GradientProblemError
    >>> GradientProblemError("dead layers", findings=[]).findings
    []
    """


def message_of(findings: list[Finding]) -> str:
    """One message about findings of one kind, with the first as the example."""
    first = findings[0]
    names = list(dict.fromkeys(finding.where for finding in findings))
    listed = ", ".join(names[:MOST_NAMED])
    if len(names) > MOST_NAMED:
        listed += f" and {len(names) - MOST_NAMED} more"
    what = f"{first.kind} gradients" if first.kind in OF_GRADIENTS else first.kind
    at = "" if first.step is None else f" at step {first.step}"
    return (
        f"GradientMonitor: {what}{at} in {listed}. "
        f"{first.where}: {first.message} {first.remedy}"
    )


def sound(
    findings: list[Finding], on_problem: str, told: set[str], callback: Any
) -> None:
    """Acts on new findings: each kind is reported once per run.

    Args:
        findings: List of `Finding`.
        on_problem: `"ignore"`, `"warn"`, `"stop"` or `"raise"`.
        told: Kinds that have been reported before; the new ones are added.
        callback: The callback whose model is to stop.
    """
    kinds = dict.fromkeys(f.kind for f in findings if f.kind not in told)
    if on_problem == "ignore" or not kinds:
        return
    told.update(kinds)
    messages = [message_of([f for f in findings if f.kind == kind]) for kind in kinds]
    if on_problem == "raise":
        raise GradientProblemError("\n".join(messages), findings)
    for message in messages:
        warnings.warn(GradientWarning(message), stacklevel=3)
    if on_problem == "stop":
        callback.model.stop_training = True
