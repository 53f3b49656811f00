"""The running averages of the variables of one optimizer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_deeptools.engine import Leaf, tensors
from keras_deeptools.engine._state.temporary_weights import constrained_values


def averaging_rate(count: Any, decay: float | None, warmup: float | None) -> Any:
    """The fraction of the newest of `count` weights in their average.

    Args:
        count: Int or int tensor >= 1.
        decay: Float in [0, 1), of an exponential average; None for the plain mean.
        warmup: Float >= 0 or None. Until the decay is reached, the average is one with
            polynomial decay of this power; with None, the decay applies from the second
            weights on.

    Returns:
        Float or float tensor in (0, 1].
    """
    known = isinstance(count, int)
    if decay is not None and warmup is None:
        if known:
            return 1.0 if count == 1 else 1.0 - decay
        return ops.where(ops.equal(count, 1), 1.0, 1.0 - decay)
    power = 0.0 if decay is None or warmup is None else float(warmup)
    least = 0.0 if decay is None else 1.0 - decay
    if known:
        return max((power + 1.0) / (count + power), least)
    return ops.maximum((power + 1.0) / (ops.cast(count, "float32") + power), least)


@dataclass(eq=False)
class RunningAverage:
    """The averages of the variables of one optimizer.

    Args:
        leaf: `Leaf`.
        averages: Dict from the identity of each variable to its average.
        is_on: Int variable, 1 where updates count.
        num_seen: Int variable, updates that counted.
    """

    leaf: Leaf
    averages: dict[int, Any]
    is_on: Any
    num_seen: Any

    @classmethod
    def of(cls, leaf: Leaf, is_on: bool) -> "RunningAverage":
        """Starts averages of all variables of an optimizer."""
        on = leaf.add_state("averaging", dtype="int32", initial=int(is_on))
        seen = leaf.add_state("averaging_updates", dtype="int32")
        state = cls(leaf, {}, on, seen)
        state.follow()
        return state

    def follow(self) -> None:
        """Continues with the present variables; new averages start at their values."""
        self.averages = self.leaf.state_by_variable(self.averages, self._begun)

    def _begun(self, variable: Any) -> Any:
        shape = tuple(variable.shape)
        average = self.leaf.add_state("average", shape, like=variable)
        # A copy: two variables must not share memory that a step may reuse.
        self.leaf.assign(average, ops.copy(ops.cast(variable.value, "float32")))
        return average

    def update(self, decay: float | None, warmup: float | None, every: int) -> None:
        """Adds the weights after an update to the average, in the compiled step."""
        on, seen = tensors.scalar(self.is_on), tensors.scalar(self.num_seen)
        seen = seen + on
        tensors.set_scalar(self.num_seen, seen)
        if isinstance(seen, int):
            if not on or seen % every:
                return
            rate = averaging_rate(seen // every, decay, warmup)
        else:
            due = ops.cast(on, "float32") * ops.cast(seen % every == 0, "float32")
            count = ops.maximum(seen // every, 1)
            rate = due * averaging_rate(count, decay, warmup)
        variables = self._trained()
        if not variables:
            return
        values = constrained_values(variables)
        tensors.move_averages([self.averages[id(v)] for v in variables], values, rate)

    def _trained(self) -> list[Any]:
        """The variables without those frozen since and those without elements."""
        return [v for v in self.leaf.variables if v.trainable and 0 not in v.shape]

    def begin(self) -> None:
        """Lets updates count from now on; called on the host."""
        if not self.leaf.read(self.is_on):
            self.leaf.assign(self.is_on, 1)

    def num_averaged(self, every: int) -> int:
        """Number of weights in the average, on the host."""
        return int(self.leaf.read(self.num_seen)) // every

    def arrays(self) -> list[np.ndarray]:
        """The averages on the host, in the order of the variables."""
        averages = [self.averages[id(variable)] for variable in self.leaf.variables]
        return [self.leaf.read(average) for average in averages]

    def restore(self, num_seen: int, arrays: Iterator[np.ndarray]) -> None:
        """Sets the number of updates and the averages, on the host."""
        self.leaf.assign(self.num_seen, num_seen)
        for variable in self.leaf.variables:
            self.leaf.assign(self.averages[id(variable)], next(arrays))

    def values(self) -> list[tuple[Any, Any]]:
        """Each trained variable and its average, with its constraint applied."""
        found = []
        for variable in self._trained():
            value = self.averages[id(variable)].value
            if variable.constraint is not None:
                value = variable.constraint(value)
            found.append((variable, value))
        return found


State = tuple[dict[str, Any], list[np.ndarray]]


def written(
    model: keras.Model, states: Sequence[RunningAverage], own: list[tuple[Any, Any]]
) -> State:
    """The state that a file needs besides the weights that the model shows.

    Args:
        model: `keras.Model`.
        states: List of `RunningAverage`, one for each optimizer.
        own: List of tuples of a variable and its own value, if it shows another value.

    Returns:
        Dict that JSON can hold, and list of float32 arrays.
    """
    places = {id(variable): place for place, variable in enumerate(model.variables)}
    arrays = [array for state in states for array in state.arrays()]
    arrays += [keras.ops.convert_to_numpy(value) for _, value in own]
    found = {
        "seen": [int(state.leaf.read(state.num_seen)) for state in states],
        "own": [places[id(variable)] for variable, _ in own],
    }
    return found, [np.array(array, "float32") for array in arrays]


def put_back(
    model: keras.Model,
    states: Sequence[RunningAverage],
    found: dict[str, Any],
    arrays: list[np.ndarray],
) -> None:
    """Sets the averages, and the model's own weights, once a file has been loaded.

    Args:
        model: `keras.Model`.
        states: List of `RunningAverage`, as when the file was written.
        found: Dict that `written` returned.
        arrays: Arrays that `written` returned.
    """
    rest = iter(arrays)
    for state, seen in zip(states, found["seen"], strict=True):
        state.restore(seen, rest)
    variables = model.variables
    for place, array in zip(found["own"], rest, strict=True):
        states[0].leaf.assign(variables[place], array)
