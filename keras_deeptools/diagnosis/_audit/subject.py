"""What the rules of an audit read: layers, weights and the graph."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._graph.calls import (
    Call,
    calls_in_a_row,
    calls_of,
    output_calls_of,
)
from keras_deeptools.engine._graph.layers import layers_of
from keras_deeptools.engine._update.model_optimizers import (
    ModelOptimizer,
    model_optimizers,
    updates_made,
)

MEASURED = "measured on Keras 3.15 on all three backends"
"""The source of a finding that rests on what was run and observed."""

DROPOUTS = (
    keras.layers.AlphaDropout,
    keras.layers.Dropout,
    keras.layers.GaussianDropout,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
)
ACTIVATIONS = (
    keras.layers.Activation,
    keras.layers.ELU,
    keras.layers.LeakyReLU,
    keras.layers.PReLU,
    keras.layers.ReLU,
    keras.layers.Softmax,
)
DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
MERGES = {"Add", "Average", "Concatenate", "Dot", "Maximum", "Multiply", "Subtract"}
"""Class names of layers and operations that join several tensors."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A model under audit.

    Args:
        model: `keras.Model`.
        layers: List of tuples of a layer and a dict from role to variable.
        calls: List of `Call`, empty where there is no graph.
        children: Dict from the position of a call to those that use what it returns.
        outputs: List of ints, the positions of the calls that give the outputs.
        values: Dict from `id(variable)` to its value, filled as rules ask for it.
    """

    model: keras.Model
    layers: list[tuple[keras.Layer, dict[str, Any]]]
    calls: list[Call]
    children: dict[int, list[int]]
    outputs: list[int]
    values: dict[int, np.ndarray] = field(default_factory=dict)

    @property
    def optimizers(self) -> list[tuple[str, Any]]:
        """The name of each optimizer that may train the model, and what updates in it.

        Of those that wrap another, it is the inner one that updates.
        """
        found = training_optimizers(self.model)
        return [(each.name, _innermost(each.optimizer)) for each in found]

    def value(self, variable: Any) -> np.ndarray:
        """The value of a variable, as an array that must not be written to."""
        if id(variable) not in self.values:
            self.values[id(variable)] = keras.ops.convert_to_numpy(variable)
        return self.values[id(variable)]

    def calls_to(self, *kinds: type) -> Iterator[tuple[int, Call]]:
        """Position and call, for calls of layers of these classes."""
        for position, call in enumerate(self.calls):
            if isinstance(call.operation, kinds):
                yield position, call

    def children_of(self, position: int) -> list[Call]:
        """The calls that use what a call returns."""
        return [self.calls[child] for child in self.children.get(position, [])]


def subject_of(model: keras.Model) -> Subject:
    """Read a model; nothing in it is changed.

    Args:
        model: `keras.Model`.

    Returns:
        `Subject`.
    """
    layers = layers_of(model)
    row = calls_in_a_row(model)
    calls = row or calls_of(model) or []
    seen = {id(it.operation) for call in calls for it in (*call.enclosing, call)}
    for layer, _ in layers[1:]:
        # Graphs inside of what has none itself: models in a subclassed one.
        if isinstance(layer, keras.Model) and id(layer) not in seen:
            found, start = calls_in_a_row(layer) or calls_of(layer) or [], len(calls)
            seen |= {id(it.operation) for c in found for it in (*c.enclosing, c)}
            calls += [
                replace(call, parents=tuple(start + parent for parent in call.parents))
                for call in found
            ]
    children: dict[int, list[int]] = {}
    for position, call in enumerate(calls):
        for parent in dict.fromkeys(call.parents):
            children.setdefault(parent, []).append(position)
    outputs = [len(row) - 1] if row else output_calls_of(model) or []
    return Subject(model, layers, calls, children, outputs)


def training_optimizers(model: keras.Model) -> list[ModelOptimizer]:
    """The optimizers that may train a model, the one it was compiled with first.

    That one is left out where it has made no update and the model holds others, for a
    `train_step` of its own.

    Args:
        model: `keras.Model`.
    """
    compiled = getattr(model, "optimizer", None)
    found = [each for each in model_optimizers(model) if each.own]
    others = [each for each in found if each.optimizer is not compiled]
    is_idle = compiled is not None and updates_made(compiled) == 0
    return others if others and is_idle else found


def _innermost(optimizer: Any) -> Any:
    while getattr(optimizer, "inner_optimizer", None) is not None:
        optimizer = optimizer.inner_optimizer
    return optimizer


def activation_of(operation: Any) -> str | None:
    """Name of the activation that a layer or operation ends with, if it has one."""
    if isinstance(operation, ACTIVATIONS) and not hasattr(operation, "activation"):
        return type(operation).__name__.lower()
    activation = getattr(operation, "activation", None)
    if activation is None and not isinstance(operation, keras.Layer):
        return type(operation).__name__.lower()
    name = getattr(activation, "__name__", None)
    return None if name == "linear" else name


def setting_of(layer: Any, role: str, kind: str) -> Any:
    """The initializer, constraint or regularizer that a layer has for some weights.

    Args:
        layer: `keras.Layer`.
        role: Str. What the weights are to the layer, such as `"kernel"`.
        kind: Str. `"initializer"`, `"constraint"` or `"regularizer"`.

    Returns:
        The layer's attribute, such as `recurrent_initializer`, or None.
    """
    if isinstance(layer, DEPTHWISE) and role == "kernel":
        role = "depthwise_kernel"
    name = role.removesuffix("_kernel") if role.endswith("_kernel") else role
    return getattr(layer, f"{name}_{kind}", None)


def listing(names: Iterable[str], most: int = 3) -> str:
    """Names in a row, the last ones counted: `a, b, c and 14 more`."""
    each = list(dict.fromkeys(names))
    text = ", ".join(each[:most])
    return text if len(each) <= most else f"{text} and {len(each) - most} more"
