"""Optimizers whose update of a weight depends on the past of that weight alone.

Their formulas are written with `elementwise_ops`, for one tensor and for many at once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import keras
from keras import ops

from keras_deeptools.engine._backends.active import tensors
from keras_deeptools.engine._keras_private.optimizers import (
    WholeUpdate,
    counted_batches,
    position_of,
)


def copied_slots(optimizer: Any, variables: list[Any], name: str) -> list[Any]:
    """A variable of the optimizer for each one, with the value that it has now.

    They are created by an initializer, which TensorFlow runs where it creates variables
    also when that is in the middle of a step that is being traced.

    Args:
        optimizer: Keras optimizer.
        variables: List of `keras.Variable`.
        name: Str.

    Returns:
        List of `keras.Variable`; None for a variable that is no weight.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._update.elementwise_optimizer import copied_slots
    >>> weight, optimizer = keras.Variable(3.0), keras.optimizers.SGD()
    >>> [slot] = copied_slots(optimizer, [weight], "start")
    >>> _ = weight.assign(4.0)
    >>> float(slot.numpy())
    3.0
    """

    def copy_of(variable: Any) -> Any:
        return lambda shape, dtype=None: ops.copy(ops.convert_to_tensor(variable))

    return [
        slot
        for variable in variables
        for slot in optimizer.add_optimizer_variables(
            [variable], name, copy_of(variable)
        )
    ]


@dataclass(frozen=True)
class Unit:
    """A weight, or many as one, in an update.

    Attributes:
        gradient: Tensor, or many as one.
        slots: List of tensors as `gradient`, in the order of `SLOTS`.
        read: Function that returns the weight now, a tensor as `gradient`.
        write: Function of the new slots and the new weight.
        dtype: Type of the tensors; None where scalars fit any.
    """

    gradient: Any
    slots: list[Any]
    read: Callable[[], Any]
    write: Callable[[list[Any], Any], None]
    dtype: Any

    def scalar(self, value: Any) -> Any:
        """A scalar that arithmetic takes beside the tensors."""
        if isinstance(value, (int, float)) or self.dtype is None:
            return value
        return ops.cast(value, self.dtype)


class ElementwiseOptimizer(WholeUpdate):
    """An optimizer that is one formula, for a weight and for all weights at once.

    A subclass lists the slots of each weight in `SLOTS` (in `COPIES` those that start
    as a copy of the weight) and the attributes that are its numbers in `NUMBERS`, and
    defines `_scalars` and `_formula`. On torch all weights are updated together, by
    `_foreach` kernels; on other backends each weight is updated in the graph.
    Everything else is Keras' own: clipping, weight decay, averages, accumulation,
    schedules, files. Sparse gradients of embeddings are added up first.

    Args:
        learning_rate: Float, schedule, or a function without arguments.
        weight_decay: Float or None.
        name: Str or None.
        **options: Keras' own arguments of every optimizer.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._update.elementwise_optimizer import (
    ...     ElementwiseOptimizer,
    ... )
    >>> class Descent(ElementwiseOptimizer):
    ...     SLOTS = ("sum",)
    ...
    ...     def _formula(self, gradient, slots, scalars):
    ...         return gradient, [slots[0] + gradient]
    >>> weight = keras.Variable(2.0)
    >>> optimizer = Descent(0.25, weight_decay=0.5)
    >>> optimizer.build([weight])
    >>> optimizer.apply([keras.ops.ones(())])
    >>> float(weight.numpy())
    1.5
    """

    SLOTS: ClassVar[tuple[str, ...]] = ()
    COPIES: ClassVar[tuple[str, ...]] = ()
    NUMBERS: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        learning_rate: Any,
        weight_decay: float | None = None,
        name: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            learning_rate=learning_rate, weight_decay=weight_decay, name=name, **options
        )

    def build(self, variables: list[Any]) -> None:
        """Creates the slots of `variables`, unless the optimizer is built."""
        if self.built:
            return
        super().build(variables)
        for slot in self.SLOTS:
            if slot in self.COPIES:
                slots = copied_slots(self, variables, slot)
            else:
                slots = self.add_optimizer_variables(variables, slot)
            setattr(self, _slots(slot), slots)

    def _scalars(self, step: Any) -> dict[str, Any]:
        """The scalars by name that the formula needs in a step.

        Args:
            step: Scalar >= 1, the number of the update that is made.
        """
        return {}

    def _formula(self, gradient: Any, slots: list[Any], scalars: dict[str, Any]) -> Any:
        """The change of a weight at a learning rate of 1, and the new slots.

        Args:
            gradient: Tensor, or many as one.
            slots: Tensors as `gradient`, in the order of `SLOTS`.
            scalars: Dict that `_scalars` returned.

        Returns:
            A tensor that is subtracted times the learning rate, and a list of tensors.
        """
        raise NotImplementedError

    def hyperparameter(self, name: str) -> Any:
        """The value of an attribute in this step, which a schedule may have replaced.

        Args:
            name: Str.
        """
        return tensors.number(getattr(self, name))

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Updates one `variable` by its `gradient` with the `learning_rate`."""
        self._update(self.unit(gradient, variable), learning_rate)

    def takes_all(self) -> bool:
        """Whether the backend updates lists of tensors faster than single ones."""
        return tensors.TAKES_LISTS

    def update_all(self, gradients: Any, variables: Any, learning_rate: Any) -> None:
        """Updates all `variables` by their `gradients` with the `learning_rate`."""
        for unit in self.units(gradients, variables):
            self._update(unit, tensors.number(learning_rate))

    def _update(self, unit: "Unit", learning_rate: Any) -> None:
        scalars = self._scalars(self.step_number())
        scalars = {name: unit.scalar(scalar) for name, scalar in scalars.items()}
        change, slots = self._formula(unit.gradient, unit.slots, scalars)
        unit.write(slots, unit.read() - change * unit.scalar(learning_rate))

    def units(self, gradients: Any, variables: Any) -> list["Unit"]:
        """What is computed as one: all weights where the backend takes lists, or each.

        Args:
            gradients: List of tensors.
            variables: List of `keras.Variable`.
        """
        if not tensors.TAKES_LISTS:
            return list(map(self.unit, gradients, variables))
        positions = [position_of(self, variable) for variable in variables]
        held = [[getattr(self, _slots(s))[p] for p in positions] for s in self.SLOTS]

        def write(slots: list[Any], weight: Any) -> None:
            for values, target in zip(
                [*slots, weight], [*held, variables], strict=True
            ):
                values.write(target)

        together = tensors.tensor_list
        return [
            Unit(
                together(gradients, variables),
                [together(slots, variables) for slots in held],
                lambda: together(variables, variables),
                write,
                None,
            )
        ]

    def unit(self, gradient: Any, variable: Any) -> "Unit":
        """One weight as what is computed.

        Args:
            gradient: Tensor.
            variable: `keras.Variable`.
        """
        position, dtype = position_of(self, variable), variable.dtype
        held = [getattr(self, _slots(slot))[position] for slot in self.SLOTS]

        def write(slots: list[Any], weight: Any) -> None:
            for slot, value in zip(held, slots, strict=True):
                self.assign(slot, value)
            self.assign(variable, weight)

        return Unit(
            ops.cast(tensors.dense(gradient), dtype),
            [ops.convert_to_tensor(slot) for slot in held],
            lambda: ops.convert_to_tensor(variable),
            write,
            dtype,
        )

    def step_number(self) -> Any:
        """The number of the update that is made, 1 for the first, as a scalar."""
        batches = counted_batches(self)
        if isinstance(batches, keras.Variable):
            batches = tensors.scalar(batches)
        updates = batches // (self.gradient_accumulation_steps or 1)
        if isinstance(updates, int):
            return float(updates + 1)
        return ops.cast(updates + 1, "float32")

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        numbers = {name: getattr(self, name) for name in self.NUMBERS}
        return super().get_config() | numbers


def _slots(name: str) -> str:
    """The attribute with the slots of a name, which `_retraining` finds by its form."""
    return f"_slots_of_{name}"
