"""What all schedules share: their base class, and counts of optimizer updates."""

import functools
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from types import ModuleType
from typing import Any, TypeVar

import keras
import numpy as np
from keras import ops

from keras_deeptools._arguments import checked_count, message
from keras_deeptools._axes import new_axes
from keras_deeptools._shared_docs import shared_docs

Curve = TypeVar("Curve", bound=Callable)

MAX_PLOTTED_STEPS = 5000
LARGEST_COUNT = 2**30
"""Upper limit of counts: 32-bit sums and differences of two cannot overflow."""


class Schedule(keras.optimizers.schedules.LearningRateSchedule, ABC):
    """Base class of the schedules: a value for every optimizer update.

    Use a schedule as the `learning_rate` of any Keras optimizer. Steps count optimizer
    updates from 0; after its end a schedule holds its last value, and negative steps
    get the first value. A subclass implements `evaluate`, with the functions that numpy
    and `keras.ops` have in common, and `get_config`.

    Example:

    >>> from keras_deeptools.schedules import Schedule, linear_ramp
    >>> class Countdown(Schedule):
    ...     def evaluate(self, step, xp):
    ...         return linear_ramp(
    ...             step, initial_value=3.0, final_value=0.0, num_steps=4, xp=xp
    ...         )
    ...     def get_config(self):
    ...         return {}
    >>> Countdown().values([0, 1, 2, 3, 4]).tolist()
    [3.0, 2.0, 1.0, 0.0, 0.0]
    """

    quantity = "learning rate"

    @property
    def last_step(self) -> int | None:
        """Int, the step from which the last value is held; None if there is none."""
        return None

    @abstractmethod
    def evaluate(self, step: Any, xp: ModuleType) -> Any:
        """Return the value at `step`.

        Args:
            step: Integer scalar or array. Optimizer updates so far, from 0.
            xp: Array namespace: `numpy` for float64 on the host, `keras.ops` for
                float32 tensors, also inside a compiled step.

        Returns:
            Float array of the same shape as `step`.
        """

    @abstractmethod
    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor, ready for JSON."""

    def __call__(self, step: Any) -> Any:
        """Return the value at `step` as a float32 tensor.

        A step that is known on the host is evaluated there, in float64; any other step
        (a tensor, a variable) on its own device, so that it can be part of a compiled
        step.
        """
        if isinstance(step, int | np.integer | np.ndarray):
            return ops.convert_to_tensor(self.evaluate(step, np), dtype="float32")
        return self.evaluate(step, ops)

    def values(self, steps: Any) -> np.ndarray:
        """Return the values at many steps, computed on the host in float64.

        Args:
            steps: Integers, an array or a list of any shape. Optimizer updates, from 0.

        Returns:
            Float64 numpy array of the same shape.
        """
        steps = steps if isinstance(steps, np.ndarray) else ops.convert_to_numpy(steps)
        if steps.size == 0:
            return np.zeros(steps.shape)
        return np.asarray(self.evaluate(steps, np), dtype="float64")

    def plot(self, total_steps: int | None = None, ax: Any = None) -> Any:
        """Draw the schedule over the steps of a training run.

        Args:
            total_steps: Int >= 1. How many updates to show. Default: up to the step
                from which the schedule holds its last value.
            ax: Matplotlib axes to draw on. Default: those of a new figure.

        Returns:
            The matplotlib axes.

        Raises:
            ImportError: If matplotlib is not installed.
            ValueError: If the schedule has no end and `total_steps` is not given.
        """
        owner = f"{type(self).__name__}.plot"
        if total_steps is None:
            total_steps = (self.last_step or 0) + 1
            if total_steps == 1:
                raise ValueError(
                    message(
                        owner,
                        "total_steps",
                        "given for a schedule without an end",
                        None,
                        "Pass the number of updates to show.",
                    )
                )
        total_steps = checked_steps(owner, "total_steps", total_steps)
        if ax is None:
            ax = new_axes(owner)
        num_points = min(total_steps, MAX_PLOTTED_STEPS)
        steps = np.linspace(0, total_steps - 1, num_points).round().astype("int64")
        ax.plot(steps, self.values(steps), label=type(self).__name__)
        ax.set_xlabel("step (optimizer update)")
        ax.set_ylabel(self.quantity)
        return ax


class ConfiguredSchedule(Schedule):
    """A schedule whose attributes have the names of its constructor's arguments."""

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {name: getattr(self, name) for name in argument_names(type(self))}


@functools.cache
def argument_names(cls: type) -> list[str]:
    """Return the names of the arguments of a class."""
    return list(inspect.signature(cls).parameters)


def function_of(schedule: str) -> Callable[[Curve], Curve]:
    """Complete the docstring of the pure function of a schedule.

    Args:
        schedule: Str. Name of the class, which checks the arguments.

    Returns:
        Decorator that fills in `step`, `xp` and what is returned.
    """
    return shared_docs(
        step="step: Integer scalar or array. Optimizer updates so far, from 0.",
        xp_and_returns=f"""\
    xp: Array namespace: `numpy` (float64) or `keras.ops` (float32).

Returns:
    Float array of the same shape as `step`. `{schedule}` is the schedule with these
    values, and checks the arguments.
""",
    )


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
"""Largest count that a 32-bit integer holds; larger counts are replaced by it."""


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
        last: Int in [0, 2**31 - 1]. Larger steps are replaced by it.

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
        # This comes before the conversion, which would wrap large counts around.
        return as_integer(xp.clip(array, 0, last), xp)
    return xp.clip(as_integer(array, xp), 0, last)


def num_reached(updates: Any, boundaries: Sequence[int], xp: ModuleType) -> Any:
    """Count the `boundaries` that are less than or equal to each of `updates`."""
    reached = xp.expand_dims(updates, -1) >= as_integer(
        np.array(boundaries, dtype="int32"), xp
    )
    return xp.sum(as_integer(reached, xp), axis=-1)
