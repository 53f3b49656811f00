"""Functions of the step that users write, computed in the compiled step.

A schedule of this package or of Keras is made for the graph. Any other function is
called by Python before training, with every step of the run, and the compiled step
looks its values up: the numbers are equal on all backends, whatever the function does.
"""

import math
import types
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_deeptools.callbacks._hyperparameter_scheduler.arguments import (
    made_for_graphs,
)
from keras_deeptools.callbacks._hyperparameter_scheduler.run import (
    Lookahead,
    tell_held_values,
)
from keras_deeptools.engine import Leaf, tensors
from keras_deeptools.engine._update.scheduled_variables import (
    call_with_reads,
    check_traceable,
    operations_of,
)

SAMPLES = (0, 1, 2, 3, 5, 10, 99, 1000)
"""Steps at which recorded operations must give the same values as the function."""

MANY_STEPS = 256
"""Number of steps from which on functions made of tensor operations are called with all
steps at once."""


class FunctionsOfStep:
    """Makes functions that the compiled step can call.

    Args:
        owner: Str. Name of the caller, for errors.
        num_steps: Int or None. Updates in the run, if that is known.
        holds: Bool. Whether values are held past the end, even if the function is made
            of operations that the compiled step could continue with.

    Attributes:
        tabulated: Names of the functions whose values are held past the end.
    """

    def __init__(self, owner: str, num_steps: int | None, holds: bool = False) -> None:
        self.owner = owner
        self.holds = holds
        self.num_steps = num_steps
        self.tabulated: set[str] = set()
        self._tables: dict[str, tuple[np.ndarray, Callable | None]] = {}

    def tell_held(self, made: int) -> None:
        """Warns if values were held because more updates were made than expected.

        Args:
            made: Int. Updates since the beginning of the run.
        """
        expected, names = self.num_steps, self.tabulated
        if not self.holds and expected is not None and names and made > expected:
            tell_held_values(self.owner, expected, made, names)

    def for_leaf(self, leaf: Leaf, name: str, schedule: Callable) -> Callable:
        """The schedule as a function of the position, an int or an int32 tensor.

        Args:
            leaf: `Leaf` of the optimizer whose updates are counted.
            name: Str. Name of the scheduled hyperparameter.
            schedule: Schedule, or any function of an int.

        Returns:
            Function of the updates since the beginning that returns a float, or a
            float32 scalar.
        """
        if made_for_graphs(schedule):
            known = Lookahead(schedule)
            return lambda position: (known if isinstance(position, int) else schedule)(
                position
            )
        if name in self._tables:
            return _Table(leaf, *self._tables[name])
        try:
            first, variables = call_with_reads(schedule, 0)
        except Exception as error:
            honest = isinstance(error, ArithmeticError | AssertionError | LookupError)
            function = None if honest else _for_tensors(schedule)
            if function is None:
                raise self._failed(name, 0, error) from error
            with tensors.eagerly():
                self._number(name, function(0), 0)
            return function
        self._number(name, first, 0)
        if variables:
            return self._live(leaf, name, schedule, variables)
        if self.num_steps is None:
            return self._computed(leaf, name, schedule)
        table = None
        if ops.is_tensor(first) and self.num_steps > MANY_STEPS:
            table = _values_at_once(schedule, self.num_steps)
        if table is None:
            table = self._values(name, schedule, first)
        beyond = None if self.holds else _beyond(schedule, table)
        if beyond is None:
            self.tabulated.add(name)
        self._tables[name] = table, beyond
        return _Table(leaf, table, beyond)

    def _live(
        self, leaf: Leaf, name: str, schedule: Callable, variables: list[Any]
    ) -> Callable:
        """A function that reads variables, which may change from step to step."""
        paths = ", ".join(sorted({variable.path for variable in variables}))
        if not tensors.readable(variables, leaf.root):
            raise ValueError(
                f"{self.owner}: on this backend, a schedule can read the variables of "
                f"the optimizer alone. Received: {name!r} -> {schedule!r}, which reads "
                f"{paths}. Read the value before: `value = float(variable)`."
            )
        try:
            if not isinstance(leaf.step, int):
                check_traceable(lambda step: _as_float(schedule(step)))
        except Exception as error:
            raise ValueError(
                f"{self.owner}: a schedule that reads variables must be made of "
                f"`keras.ops`. Received: {name!r} -> {schedule!r}, which reads {paths} "
                f"({_short(error)}). Write it with `keras.ops`, for instance "
                "`keras.ops.cast(step, 'float32')`, or read the value before: `value = "
                "float(variable)`."
            ) from error
        return lambda position: _as_float(schedule(position))

    def _values(self, name: str, schedule: Callable, first: Any) -> np.ndarray:
        """The values at all steps of the run, called one by one in order."""
        values = [self._number(name, first, 0)]
        with tensors.eagerly():
            for step in range(1, self.num_steps or 1):
                try:
                    value = schedule(step)
                except Exception as error:
                    raise self._failed(name, step, error) from error
                values.append(self._number(name, value, step))
        return np.array(values)

    def _computed(self, leaf: Leaf, name: str, schedule: Callable) -> Callable:
        """A function that is part of the compiled step."""
        if isinstance(leaf.step, int):
            return lambda position: _as_float(schedule(position))
        try:
            function = _graph_function(schedule)
        except Exception as error:
            raise ValueError(
                f"{self.owner}: `total_steps` must be given for a function that needs "
                "the step as a number, where the number of updates is not known before "
                f"training. Received: total_steps=None and {name!r} -> {schedule!r} "
                f"({_short(error)}). Pass the number of updates, `steps_per_epoch` to "
                "`fit`, or write the function with `keras.ops`."
            ) from error
        return lambda position: _as_float(function(position))

    def _number(self, name: str, value: Any, step: int) -> float:
        """The value that a function has returned, as a float, or raise."""
        if type(value) is float and math.isfinite(value):
            return value
        numbers: Any = None
        if value is not None and not isinstance(value, str | bytes):
            try:
                numbers = np.asarray(ops.convert_to_numpy(value))
            except Exception:  # Whatever the value is, it is not a number.
                numbers = None
        if numbers is None or numbers.size != 1 or numbers.dtype.kind not in "fiub":
            raise TypeError(
                f"{self.owner}: a schedule must return a number. Received: {name!r} "
                f"returned {value!r} at step {step}. Return one float for each step."
            )
        number = float(numbers.reshape(()))
        if not np.isfinite(number):
            raise ValueError(
                f"{self.owner}: a schedule must return finite numbers. Received: "
                f"{name!r} returned {number} at step {step}. Check the function there."
            )
        return number

    def _failed(self, name: str, step: int, error: Exception) -> ValueError:
        remedy = (
            f"Check the function there, or pass `total_steps={step}`: from there on "
            "the last value is held."
            if step
            else "Steps are integers from 0; check the function there."
        )
        return ValueError(
            f"{self.owner}: a schedule must give a value for every step of the run. "
            f"Received: {name!r}, which raised {_short(error)} at step {step}"
            f"{'' if self.num_steps is None else f' of {self.num_steps}'}. {remedy}"
        )


class _Table:
    """Values that were computed in advance, by position.

    After its end, the values of `beyond` follow; without it the last value is held.
    """

    def __init__(
        self, leaf: Leaf, values: np.ndarray, beyond: Callable | None = None
    ) -> None:
        self.goes_on = beyond is not None
        self._beyond = beyond
        self._last = len(values) - 1
        self._variable: Any = None
        if isinstance(leaf.step, int):
            self._values = values.tolist()
        else:
            array = values.astype("float32")
            self._variable = leaf.adopt(
                lambda: keras.Variable(
                    array,
                    dtype="float32",
                    trainable=False,
                    aggregation="only_first_replica",
                    name="schedule_values",
                )
            )

    def __call__(self, position: Any) -> Any:
        is_past = position > self._last
        if isinstance(position, int):
            if is_past and self._beyond is not None:
                return _on_host(self._beyond(position))
            return self._values[min(max(position, 0), self._last)]
        value = ops.take(self._variable, ops.clip(position, 0, self._last))
        if self._beyond is None:
            return value
        return ops.where(is_past, self._beyond(position), value)


def traced_schedule(schedule: Any, function: Callable) -> Any:
    """The key by which compiled steps that follow a schedule are compared.

    Args:
        schedule: Schedule or function, as it was given.
        function: Function that `FunctionsOfStep.for_leaf` made of it.

    Returns:
        The key; None for a function whose code is part of the step.
    """
    if isinstance(function, _Table):
        # The function that continues after the table is code of the step.
        return ("table", _code_of(schedule) if function.goes_on else None)
    if made_for_graphs(schedule):
        return (type(schedule), repr(keras.saving.serialize_keras_object(schedule)))
    return None


def _code_of(schedule: Callable) -> Any:
    """A function's code and the numbers that it uses, or else the object itself."""
    if not isinstance(schedule, types.FunctionType):
        return schedule
    code = schedule.__code__
    try:
        held = [cell.cell_contents for cell in schedule.__closure__ or ()]
    except ValueError:
        return schedule  # A variable of the enclosing scope has no value yet.
    held += [*(schedule.__defaults__ or ()), *(schedule.__kwdefaults__ or {}).values()]
    read = {name: schedule.__globals__.get(name) for name in code.co_names}
    modules = {n for n, value in read.items() if isinstance(value, types.ModuleType)}
    held += [value for name, value in read.items() if name not in modules]
    if all(isinstance(value, bool | int | float | str | None) for value in held):
        return (code, *held)
    return schedule


def _as_float(value: Any) -> Any:
    """A float if the host knows the value, else a float32 scalar."""
    if isinstance(value, bool | int | float | np.number | np.ndarray):
        return float(value)
    return ops.reshape(ops.cast(value, "float32"), ())


def _values_at_once(schedule: Callable, count: int) -> np.ndarray | None:
    """Evaluates a function of tensor operations at all steps in one call.

    One call for each step would take long.
    """
    samples = [step for step in (*SAMPLES, count // 2, count - 1) if step < count]
    try:
        with tensors.eagerly():
            found = ops.convert_to_numpy(schedule(np.arange(count)))
            single = [float(ops.convert_to_numpy(schedule(s))) for s in samples]
    except Exception:
        # The user's function does not accept a vector, so it is called step by step.
        return None
    values = found.astype("float64")
    if values.shape != (count,) or not np.isfinite(values).all():
        return None
    # Single calls round to float32, which hurts most for a cosine of large arguments.
    near = np.allclose(values[samples], single, 1e-4, 1e-4 * np.abs(values).max())
    return values if near else None


def _operations(schedule: Callable) -> Callable | None:
    """The operations that a function is made of, or None if it needs numbers."""
    try:
        function = operations_of(schedule)
        with tensors.eagerly():
            function(ops.convert_to_tensor(0, dtype="int32"))
    except Exception:
        # Code that needs the step as a number may raise any error without one.
        return None
    return function


def _for_tensors(schedule: Callable) -> Callable | None:
    """A function that fails for numbers, None if it fails for tensors, too."""
    # TensorFlow itself multiplies no integer by a float; Keras does.
    function = _operations(schedule)
    if function is None:
        function = schedule
        try:
            check_traceable(lambda step: _as_float(schedule(step)))
        except Exception:
            # It fails for tensors as well; the error for numbers is the one reported.
            return None

    def value(position: Any) -> Any:
        return _as_float(function(ops.convert_to_tensor(position, dtype="int32")))

    return value


def _beyond(schedule: Callable, table: np.ndarray) -> Callable | None:
    """The function that continues after the table, or None if it might differ."""
    function = _operations(schedule)
    if function is None:
        return None

    def value(position: Any) -> Any:
        return _as_float(function(ops.convert_to_tensor(position, dtype="int32")))

    samples = [step for step in (*SAMPLES, len(table) - 1) if step < len(table)]
    with tensors.eagerly():
        found = [_on_host(value(step)) for step in samples]
    return value if np.allclose(found, table[samples], 1e-4, 1e-6) else None


def _on_host(value: Any) -> float:
    return float(ops.convert_to_numpy(value))


def _graph_function(schedule: Callable) -> Callable:
    """A function that gives for tensors what `schedule` gives for numbers, or raise."""
    function = _operations(schedule)
    if function is None:
        # It may use operations of the backend, which accept only its own tensors.
        check_traceable(lambda step: _as_float(schedule(step)))
        return schedule
    with tensors.eagerly():
        for step in SAMPLES:
            try:
                expected = float(ops.convert_to_numpy(schedule(step)))
            except Exception:
                # It accepts only tensors, so there is nothing to compare with.
                continue
            found = function(ops.convert_to_tensor(step, dtype="int32"))
            found = float(ops.convert_to_numpy(found))
            if not np.isclose(found, expected, 1e-4, 1e-6):
                raise ValueError(
                    f"at step {step} it gives {found:g} in the graph, not {expected:g}"
                )
    return function


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:80]}{'...' if len(text) > 80 else ''}"
