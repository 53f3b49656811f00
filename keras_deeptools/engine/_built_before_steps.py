"""Where `fit` creates all variables before it traces or takes a step: JAX and torch."""

import contextlib
from typing import Any

BUILDS_IN_STEP = False
"""Whether the first step of `fit` creates the variables that do not exist."""


def between_steps() -> Any:
    """A context that runs on the host at once."""
    return contextlib.nullcontext()


def tracing() -> bool:
    """Whether a step is being traced now: none is before the optimizer is built."""
    return False


def reason_to_trace_again() -> Any:
    """Nothing: no step is traced before the optimizer is built."""


def have_values(variables: list[Any]) -> bool:
    """Whether variables have values."""
    return all(variable._value is not None for variable in variables)
