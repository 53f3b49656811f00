"""L2-SP: weight decay towards the weights that training starts from."""

import weakref
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_deeptools._arguments import checked_float, known_elsewhere_as
from keras_deeptools.callbacks._layer_selection import (
    LayerSelection,
    names_of,
    output_variables,
)
from keras_deeptools.callbacks._training_feature import TrainingFeature
from keras_deeptools.engine import Leaf, tensors
from keras_deeptools.engine._backends.common import on_host
from keras_deeptools.engine._graph.layers import Layers
from keras_deeptools.engine._update.model_optimizers import OptimizerChoice

OWNER = "L2SP"
State = dict[int, tuple[float, Any]]


@keras.saving.register_keras_serializable(package="keras_deeptools")
class L2SP(TrainingFeature):
    """Draws weights towards their pretrained values instead of zero (L2-SP).

    Plain weight decay pulls a pretrained network towards zero, and so away from what it
    has learned. This callback adds the gradient of
    `strength / 2 * |w - start|^2 + head_strength / 2 * |new|^2`, where `start` are the
    weights with which training began and `new` those of the new output layer. The
    penalty is not part of the loss in the logs. Switch other weight decay off.

    The starting point of a variable is its value when the object first trains it in a
    model, and is remembered for later calls of `fit` with that model: give the same
    object to all phases, as `fine_tune(callbacks=[L2SP()])` does. Layers that are
    unfrozen later start from the values they had while they were frozen. A process that
    resumes an interrupted training has a new starting point.

    With adaptive optimizers such as Adam, the gradient of the penalty is scaled like
    the rest. The starting points take the memory of a copy of the weights.

    Args:
        strength: Float >= 0, `alpha` in the paper, which tries 1e-3 to 1.
        head_strength: Float >= 0, `beta` in the paper, which uses 0.01.
        head: Names, patterns or layers that are new, as `layers`. None takes the layers
            that the model's outputs come from; an empty list none.
        layers: Names, patterns such as `"block3_*"`, layers, or a function of a layer
            that returns a bool; one or a list of them. None chooses all layers.
        optimizer: Which optimizers of the model to act on, as for `TrainingFeature`.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If a number is negative. When training starts: if `layers` or
            `head` match nothing.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.callbacks import L2SP
    >>> body = keras.layers.Dense(4, kernel_initializer="ones", name="body")
    >>> model = keras.Sequential([keras.Input((3,)), body, keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(0.1), loss="mse")
    >>> x, y = np.ones((8, 3)), np.ones((8, 1))
    >>> history = model.fit(x, y, epochs=2, callbacks=[L2SP(0.1)], verbose=0)

    Reference:
        Li et al., 2018, section 3. https://arxiv.org/abs/1802.01483
    """

    @known_elsewhere_as(strength="alpha", head_strength="beta")
    def __init__(
        self,
        strength: float = 0.01,
        head_strength: float = 0.01,
        head: Layers = None,
        layers: Layers = None,
        optimizer: OptimizerChoice = None,
    ) -> None:
        super().__init__(optimizer)
        self.strength = checked_float(OWNER, "strength", strength, at_least=0)
        self.head_strength = checked_float(
            OWNER, "head_strength", head_strength, at_least=0
        )
        LayerSelection(layers, OWNER)
        if not _is_none(head):
            LayerSelection(head, OWNER, "head")
        self.head = head
        self.layers = layers
        self._starts: Any = weakref.WeakKeyDictionary()

    def begin(self, leaf: Leaf) -> State:
        """Finds the variables and copies their starting points."""
        new = self._new(leaf)
        state: State = {}
        for held in LayerSelection(self.layers, OWNER).of(leaf):
            variable = held.variable
            if id(variable) in new:
                state[held.position] = (self.head_strength, None)
                continue
            start = leaf.add_state("start", tuple(variable.shape), like=variable)
            leaf.assign(start, self._start_of(variable, leaf.model))
            state[held.position] = (self.strength, start)
        return state

    def adapt(self, state: State, leaf: Leaf) -> State:
        """Continues with the variables that are trained now."""
        leaf.drop_state([start for _, start in state.values() if start is not None])
        return self.begin(leaf)

    def _new(self, leaf: Leaf) -> set[int]:
        """Identities of the variables that are drawn towards zero."""
        if self.head is not None:
            if _is_none(self.head):
                return set()
            chosen = LayerSelection(self.head, OWNER, "head").everywhere(leaf)
            return {id(held.variable) for held in chosen}
        return set() if leaf.model is None else output_variables(leaf.model)

    def _start_of(self, variable: Any, model: Any) -> np.ndarray:
        """The value of a variable when it was first seen in its model."""
        known = {} if model is None else self._starts.setdefault(model, {})
        if id(variable) not in known:
            known[id(variable)] = np.array(on_host(variable), "float32")
        return known[id(variable)]

    def transform_gradients(self, state: State, leaf: Leaf, gradients: list) -> list:
        """Adds the gradients of the penalty."""
        changed = []
        for position, variable, gradient in zip(
            leaf.positions, leaf.active, gradients, strict=True
        ):
            strength, start = state.get(position, (0.0, None))
            if strength:
                gradient = tensors.dense(gradient)
                distance = ops.cast(variable, "float32")
                if start is not None:
                    distance = distance - ops.convert_to_tensor(start)
                gradient = gradient + ops.cast(strength * distance, gradient.dtype)
            changed.append(gradient)
        return changed

    def traced(self, state: State, leaf: Leaf) -> Any:
        """Which weights are drawn, how strongly, and whether to zero; see `Feature`."""
        return [
            (at, strength, start is None) for at, (strength, start) in state.items()
        ]

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, with layers as their names."""
        return super().get_config() | {
            "head": names_of(self.head),
            "layers": names_of(self.layers),
        }

    def __getstate__(self) -> dict[str, Any]:
        """Leaves out the starting points, since a copy belongs to no model."""
        return super().__getstate__() | {"_starts": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restores a copy, which has met no model."""
        self.__dict__.update(state | {"_starts": weakref.WeakKeyDictionary()})


def _is_none(head: Layers) -> bool:
    """Whether no layer is new: None, or an empty list or tuple."""
    return head is None or (isinstance(head, list | tuple) and not head)
