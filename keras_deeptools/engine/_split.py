"""A model in two parts: what comes before its first random layer, and the rest."""

import weakref
from typing import Any

import keras
from keras.src.backend.common.masking import get_keras_mask, set_keras_mask

from keras_deeptools.engine._graph_steps import (
    INPUTS,
    Steps,
    graph_of,
    run_steps,
    variables_of,
)
from keras_deeptools.engine._stochastic import stochastic_layers


class Parts:
    """A model as a trunk, which draws nothing, and a head.

    A functional graph is cut at the first layers that draw, also inside of nested
    models. Any other model is all head. The model itself is not kept alive.

    Args:
        model: `keras.Model`, built.

    Attributes:
        is_split: Bool, whether there is a trunk.
        trunk_variables: Variables of the trunk.
        head_variables: Variables of the head.
    """

    def __init__(self, model: keras.Model) -> None:
        graph = graph_of(model)
        self._model: Any = weakref.ref(model)
        self.is_split = graph is not None
        self.trunk_variables: list[Any] = []
        self.head_variables = model.variables
        if graph is None:
            return
        drawing = _drawing(model)
        self._steps = Steps(graph, drawing)
        self._trunk, self._head = self._steps.cut(
            lambda step: id(step.operation) in drawing
        )
        self._crossing = self._steps.crossing(self._trunk, self._head)
        self.trunk_variables = variables_of(self._trunk)
        self.head_variables = variables_of(self._head)

    def trunk(self, x: Any) -> Any:
        """Inputs of the model -> features: tensors with their masks, or `x` itself."""
        if not self.is_split:
            return x
        values = run_steps(self._trunk, {INPUTS: x}, self._crossing)
        return [(values[slot], get_keras_mask(values[slot])) for slot in self._crossing]

    def head(self, features: Any) -> Any:
        """Features -> outputs of the model."""
        if not self.is_split:
            return self._model()(features, training=False)
        values = {}
        for slot, (value, mask) in zip(self._crossing, features, strict=True):
            if mask is not None:
                set_keras_mask(value, mask)
            values[slot] = value
        values = run_steps(self._head, values, self._steps.outputs)
        return self._steps.packed(values)


def _drawing(model: keras.Model) -> set[int]:
    """Ids of the layers that draw or contain one that does."""
    stochastic = {id(layer) for layer in stochastic_layers(model)}
    return {
        id(layer)
        for layer in model._flatten_layers()
        if any(id(inner) in stochastic for inner in layer._flatten_layers())
    }
