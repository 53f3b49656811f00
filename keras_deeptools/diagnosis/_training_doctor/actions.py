"""What a `TrainingDoctor` does about what it finds."""

import warnings
from typing import Any

from keras_deeptools._finding import Finding, FindingsError

OWNER = "TrainingDoctor"
ACTIONS = ("ignore", "warn", "stop", "raise", "repair")


class TrainingWarning(UserWarning):
    """Something is wrong with a training.

    Example:

    >>> import warnings
    >>> from keras_deeptools.diagnosis import TrainingWarning
    >>> warnings.filterwarnings("ignore", category=TrainingWarning)
    """


class TrainingProblemError(FindingsError):
    """Raised by `TrainingDoctor(on_problem="raise")`.

    Args:
        message: Str.
        findings: List of `Finding`, those that were found together.

    Example:

    >>> from keras_deeptools.diagnosis import TrainingProblemError
    >>> TrainingProblemError("does not learn", findings=[]).findings
    []
    """


def act(model: Any, findings: list[Finding], on_problem: str, told: set[str]) -> None:
    """Tells what is new, each kind once, and ends the training where that is asked for.

    Args:
        model: `keras.Model`.
        findings: What was found so far.
        on_problem: One of `ACTIONS`.
        told: Kinds that were told before; new ones are added.

    Raises:
        TrainingProblemError: If `on_problem` is `"raise"` and there is a new problem.
    """
    problems = [each for each in findings if each.severity == "problem"]
    new = [each for each in problems if each.kind not in told and not each.caused_by]
    if on_problem == "ignore" or not new:
        return
    told |= {each.kind for each in problems}
    message = "\n".join(f"{OWNER}: {each}" for each in new)
    if on_problem == "raise":
        raise TrainingProblemError(message, new)
    warnings.warn(TrainingWarning(message), stacklevel=4)
    if on_problem in ("stop", "repair"):
        model.stop_training = True
