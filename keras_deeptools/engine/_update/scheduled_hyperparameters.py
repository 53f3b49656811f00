"""Hyperparameters that the compiled step computes for itself."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_deeptools.engine._backends.active import tensors
from keras_deeptools.engine._backends.common import on_host
from keras_deeptools.engine._keras_private.optimizers import CURRENT_RATE, rate_of
from keras_deeptools.engine._patching import Replacement
from keras_deeptools.engine._update.leaf import Leaf
from keras_deeptools.engine._update.scheduled_variables import schedulable_variables
from keras_deeptools.engine._update.step_counts import STEPS, ScheduledAccumulation

NOT_YET = -1.0
"""Stands for the learning rate that was last written, before the first step."""


class PositiveVariable(keras.Variable):
    """A scalar variable in the place of a Python float that is known to be in use.

    Optimizers ask `if self.momentum != 0`, which a traced value cannot answer.
    """

    def __ne__(self, other: object) -> Any:
        return True if _is_zero(other) else super().__ne__(other)

    def __gt__(self, other: object) -> Any:
        return True if _is_zero(other) else super().__gt__(other)

    def __bool__(self) -> bool:
        return True

    __hash__ = keras.Variable.__hash__


def _is_zero(value: object) -> bool:
    return isinstance(value, (int, float)) and value == 0


def _positive_variable(leaf: Leaf, name: str, value: float) -> PositiveVariable:
    return leaf.adopt(
        lambda: PositiveVariable(value, dtype="float32", trainable=False, name=name)
    )


class ScheduledAttribute:
    """A float attribute of an optimizer, replaced by a variable inside the step.

    Between steps the attribute is the plain float that it was, so `get_config`,
    `build` and user code see nothing of it.
    """

    def __init__(self, leaf: Leaf, name: str, function: Callable) -> None:
        self.name = name
        self._leaf = leaf
        self._function = function
        self._shown: Replacement | None = None
        self.variable = _positive_variable(leaf, name, getattr(leaf.optimizer, name))

    def enter(self) -> None:
        """Computes the value and shows it to the optimizer."""
        value = self._function(self._leaf.step)
        tensors.set_scalar(self.variable, value)
        # A number spares the optimizer work, but 0 would switch momentum off.
        shown = value if isinstance(value, float) and value else self.variable
        self._shown = Replacement(self._leaf.optimizer, self.name, shown)

    def exit(self) -> None:
        """Shows the plain float again."""
        if self._shown is not None:
            self._shown.undo(force=True)

    def hide(self) -> None:
        """Nothing to hide: the attribute is a plain float between steps."""

    def show(self, reloaded: bool) -> None:
        """Nothing was hidden."""

    def detach(self) -> None:
        """Nothing to restore: the attribute is a plain float between steps."""

    def withdraw(self) -> None:
        """Does nothing: the optimizer can be built again as it is."""

    def follow(self) -> None:
        """Does nothing: no state belongs to single variables."""


class AddedMomentum(ScheduledAttribute):
    """Momentum for an SGD that was built without it, with temporary velocities."""

    def __init__(self, leaf: Leaf, name: str, function: Callable) -> None:
        super().__init__(leaf, name, function)
        self._velocities: dict[int, Any] = {}
        self._added: Replacement | None = None
        self.follow()

    def withdraw(self) -> None:
        """Leaves the optimizer as it was built."""
        if self._added is not None:
            self._added.undo(force=True)

    def follow(self) -> None:
        """Keeps the velocities of variables that were there before."""
        leaf, known = self._leaf, self._velocities
        self._velocities = leaf.state_by_variable(known, self._velocity)
        self.withdraw()
        velocities = list(self._velocities.values())
        self._added = Replacement(self._leaf.optimizer, "momentums", velocities)

    def _velocity(self, variable: Any) -> Any:
        return self._leaf.adopt(
            lambda: keras.Variable(
                keras.initializers.Zeros(),
                shape=variable.shape,
                dtype=variable.dtype,
                trainable=False,
                name="velocity",
            )
        )

    def detach(self) -> None:
        """Takes the velocities away."""
        self.withdraw()


class ScheduledLearningRate:
    """The optimizer's own learning-rate variable, written inside the step.

    If others assign to it between steps (ReduceLROnPlateau), the values of the schedule
    are multiplied accordingly from then on. A value that is assigned before the first
    step is the learning rate that the optimizer has again afterwards.

    Attributes:
        overrules: Bool. Whether assignments by others have no effect instead.
    """

    name = "learning_rate"

    def __init__(self, leaf: Leaf, function: Callable) -> None:
        self.overrules = self._entered = False
        self._leaf = leaf
        self._function = function
        self.variable = rate_of(leaf.optimizer)
        base = float(leaf.read(self.variable))
        # In the variable's own precision, for it to be put back to the bit.
        dtype = self.variable.dtype
        self._own = leaf.add_state("learning_rate_own", dtype=dtype, initial=base)
        self._written = leaf.add_state("learning_rate_written", initial=NOT_YET)
        self._factor = leaf.add_state("learning_rate_factor", initial=1.0)

    @property
    def factor(self) -> float:
        """The factor that others have applied; on the host, between steps."""
        return 1.0 if self.overrules else float(self._leaf.read(self._factor))

    def enter(self) -> None:
        """Computes the value and writes it to the variable."""
        variables = (self.variable, self._written, self._factor)
        current, written, factor = map(tensors.scalar, variables)
        if isinstance(written, float):
            if written < 0:
                tensors.set_scalar(self._own, current)
        elif tensors.COMPILES or not self._entered:
            own = tensors.scalar(self._own)
            tensors.set_scalar(self._own, ops.where(written < 0, current, own))
        self._entered = True
        value = _single(self._function(self._leaf.step))
        if not self.overrules:
            factor = _followed(_single(current), written, factor)
            value = value * factor
            tensors.set_scalar(self._factor, factor)
        tensors.set_scalar(self.variable, value)
        # The exact value of the variable, which shows whether others assign to it.
        tensors.set_scalar(self._written, tensors.scalar(self.variable))

    def exit(self) -> None:
        """Nothing to undo: the variable keeps the value in effect."""

    def hide(self) -> None:
        """Shows the learning rate from before attaching, which files should hold."""
        self._in_effect = self._leaf.read(self.variable)
        self.variable.assign(self._original())

    def show(self, reloaded: bool) -> None:
        """Undoes `hide`; a learning rate loaded meanwhile becomes the original."""
        if reloaded:
            self._factor.assign(1.0)
            self._written.assign(NOT_YET)
            self._entered = False
        else:
            self.variable.assign(self._in_effect)

    def detach(self) -> None:
        """Restores the original learning rate."""
        self.variable.assign(self._original())

    def withdraw(self) -> None:
        """Does nothing: the optimizer can be built again as it is."""

    def follow(self) -> None:
        """Does nothing: no state belongs to single variables."""

    def _original(self) -> float:
        written = float(self._leaf.read(self._written))
        current = float(self._leaf.read(self.variable))
        if written < 0:
            return current
        current = _single(current)
        own, factor = float(self._leaf.read(self._own)), self.factor
        if current != written and written > 0 and not self.overrules:
            factor *= current / written
        return own if factor == 1.0 else own * factor


def _single(value: Any) -> Any:
    """A number in float32, in which learning rates are computed and compared."""
    if isinstance(value, float):
        return float(np.float32(value))
    return ops.cast(value, "float32") if ops.is_tensor(value) else value


def _followed(current: Any, written: Any, factor: Any) -> Any:
    """The factor, times what others have assigned over what the schedule wrote."""
    if isinstance(current, float):
        return (
            factor if current == written or written <= 0 else factor * current / written
        )
    untouched = ops.logical_or(ops.equal(current, written), written <= 0)
    change = current / ops.where(untouched, ops.ones_like(written), written)
    return ops.where(untouched, factor, factor * change)


class OverriddenSchedule(ScheduledAttribute):
    """A learning rate that was built as a schedule, replaced while attached."""

    def __init__(self, leaf: Leaf, function: Callable) -> None:
        self.name = "learning_rate"
        self._leaf = leaf
        self._function = function
        rate = float(on_host(leaf.optimizer.learning_rate))
        self.variable = _positive_variable(leaf, self.name, rate)
        self._shown = Replacement(leaf.optimizer, CURRENT_RATE, lambda: self.variable)

    def enter(self) -> None:
        """Computes the value in effect."""
        tensors.set_scalar(self.variable, self._function(self._leaf.step))

    def exit(self) -> None:
        """Nothing to undo: the variable keeps the value in effect."""

    def detach(self) -> None:
        """Lets the optimizer use its own schedule again."""
        assert self._shown is not None
        self._shown.undo()


def check_free(leaf: Leaf, name: str, owner: str) -> None:
    """Raises if a hyperparameter is scheduled already."""
    if name in leaf.scheduled:
        raise ValueError(
            f"{owner}: a hyperparameter can have one schedule. Received: {name!r}, "
            "which another attached feature schedules already. Use one of the two."
        )


def scheduled(leaf: Leaf, name: str, function: Callable, owner: str) -> Any:
    """Makes the hyperparameter `name` of an optimizer a function of the step."""
    if name == "learning_rate":
        if isinstance(rate_of(leaf.optimizer), keras.Variable):
            return ScheduledLearningRate(leaf, function)
        return OverriddenSchedule(leaf, function)
    if name == STEPS:
        return ScheduledAccumulation(leaf, function)
    value = getattr(leaf.optimizer, name, None)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        variables = schedulable_variables(leaf)
        kind = type(leaf.optimizer).__name__
        has = hasattr(leaf.optimizer, name)
        is_what = f"is {value!r} on {kind}" if has else f"{kind} does not have"
        floats = sorted(
            key
            for key, item in vars(leaf.optimizer).items()
            if isinstance(item, float) and not key.startswith("_")
        )
        raise ValueError(
            f"{owner}: a scheduled hyperparameter must be a number on the optimizer. "
            f"Received: {name!r}, which {is_what}. Set it to a number in the "
            f"optimizer's constructor, or schedule one of {['learning_rate', *floats]}"
            f"{', or of the variables ' if variables else ''}"
            f"{variables if variables else ''}."
        )
    if name == "momentum" and value == 0:
        if not isinstance(leaf.optimizer, keras.optimizers.SGD):
            raise ValueError(
                f"{owner}: `momentum` must be above 0 on the optimizer to be "
                "scheduled, since it keeps no velocities otherwise. Received: "
                f"momentum=0 on {type(leaf.optimizer).__name__}. Construct it with "
                "`momentum=0.9`."
            )
        return AddedMomentum(leaf, name, function)
    return ScheduledAttribute(leaf, name, function)
