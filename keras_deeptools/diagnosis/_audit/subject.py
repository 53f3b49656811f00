"""What the rules of an audit read: layers, weights, the graph, and how outputs end."""

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._graph.calls import (
    Call,
    calls_in_a_row,
    calls_of,
    moves_values,
    output_calls_of,
)
from keras_deeptools.engine._graph.layers import layers_of
from keras_deeptools.engine._graph.output_tails import (
    OutputTail,
    Shape,
    output_tails_of,
)
from keras_deeptools.engine._keras_private.versions import loss_argument
from keras_deeptools.engine._update.model_optimizers import (
    ModelOptimizer,
    model_optimizers,
    updates_made,
)
from keras_deeptools.statistics._incoming_axes import NORMALIZERS

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

LINEAR = (keras.layers.Dense, keras.layers.EinsumDense)
WRAPPERS = (
    keras.layers.Bidirectional,
    keras.layers.SpectralNormalization,
    keras.layers.TimeDistributed,
)
LINEAR_END = "linear"


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


@dataclass(frozen=True)
class OutputEnd:
    """One output of a model.

    Attributes:
        name: Str. The layer or operation that it ends with.
        activation: Str or None. The last activation in small letters without
            underscores, `"linear"` where it is known that there is none, and None where
            it cannot be told.
        shape: Tuple or None, the shape of what the activation returns.
        units: Int or None. The numbers that the activation takes together: along its
            axis for a softmax, else the last axis.
        loss: Str or None. The loss, in small letters without underscores; None where
            it is not one of Keras' own.
        loss_name: Str. The loss as it was given.
        from_logits: Bool. Whether the loss applies sigmoid or softmax itself.
        ignored_class: Int or None. The label that the loss leaves out.
        label_smoothing: Float, that of the loss.
    """

    name: str
    activation: str | None
    shape: Shape | None
    units: int | None
    loss: str | None
    loss_name: str
    from_logits: bool
    ignored_class: int | None = None
    label_smoothing: float = 0.0


def output_ends(model: keras.Model) -> list[OutputEnd]:
    """The ends of all outputs, with the losses that the model is compiled with.

    Args:
        model: `keras.Model`.
    """
    tails = output_tails_of(model)
    ends = []
    for tail, loss in zip(tails, _losses(model, tails), strict=True):
        name, from_logits, shown = _facts_of(loss)
        where, activation, shape, units = _end_of(tail)
        ends.append(
            OutputEnd(
                where,
                activation,
                shape,
                units,
                name,
                shown,
                from_logits,
                loss_argument(loss, "ignore_class"),
                float(loss_argument(loss, "label_smoothing") or 0.0),
            )
        )
    return ends


def activation_units(operation: Any, shape: Shape | None) -> int | None:
    """How many numbers an activation takes together."""
    axis = getattr(operation, "axis", -1)
    units = getattr(operation, "units", getattr(operation, "filters", None))
    if shape is None:
        return units if isinstance(units, int) else None
    return shape[axis] if isinstance(axis, int) and shape else None


def activation_name(operation: Any) -> str | None:
    """The activation that a layer or operation ends with, as in `OutputEnd`."""
    if isinstance(operation, keras.layers.Activation) or hasattr(
        operation, "activation"
    ):
        return _plain(operation.activation)
    if isinstance(operation, (*LINEAR, *NORMALIZERS)) or hasattr(
        operation, "kernel_size"
    ):
        return LINEAR_END
    if isinstance(operation, keras.layers.ReLU):
        bounded = operation.max_value is not None or operation.threshold
        return "leakyrelu" if operation.negative_slope or bounded else "relu"
    if isinstance(operation, keras.Layer):
        return _letters(type(operation).__name__) if _is_activation(operation) else None
    return _letters(type(operation).__name__)


def _is_activation(layer: Any) -> bool:
    kinds = (
        keras.layers.ELU,
        keras.layers.LeakyReLU,
        keras.layers.PReLU,
        keras.layers.Softmax,
    )
    return isinstance(layer, kinds)


def _plain(activation: Any) -> str | None:
    if activation is None:
        return LINEAR_END
    if isinstance(activation, keras.Layer):
        return activation_name(activation)
    if isinstance(activation, functools.partial):
        return None
    name = getattr(activation, "__name__", None)
    own = str(getattr(activation, "__module__", "")).startswith("keras.")
    return _letters(name) if name and own else None


def _letters(name: str) -> str:
    return name.replace("_", "").lower()


def _end_of(tail: OutputTail) -> tuple[str, str | None, Shape | None, int | None]:
    for operation, shape in tail.operations:
        if moves_values(operation):
            continue
        while isinstance(operation, WRAPPERS):
            operation = getattr(operation, "forward_layer", None) or operation.layer
        is_model = isinstance(operation, keras.Model)
        inner = output_tails_of(operation) if is_model else []
        if len(inner) == 1:
            return _end_of(inner[0])
        name = activation_name(operation)
        # The linear map of a layer without activation may be followed by nothing else.
        return operation.name, name, shape, activation_units(operation, shape)
    return tail.name, None, None, None


def _losses(model: keras.Model, tails: list[OutputTail]) -> list[Any]:
    """The compiled loss of each output; None where there is none for it."""
    loss = getattr(model, "loss", None)
    if isinstance(loss, dict):
        flat = keras.tree.flatten_with_path(loss)
        by_name = {str(path[-1]): each for path, each in flat}
        return [by_name.get(tail.name) for tail in tails]
    if isinstance(loss, list | tuple):
        each = list(loss)
        return each if len(each) == len(tails) else [None] * len(tails)
    return [loss] * len(tails)


def _facts_of(loss: Any) -> tuple[str | None, bool, str]:
    """The loss by its name, whether it takes logits, and how it was given."""
    if isinstance(loss, str):
        try:
            name, logits, _ = _facts_of(keras.losses.get(loss))
        except ValueError:
            return None, False, loss
        return name, logits, loss
    if isinstance(loss, functools.partial):
        name, logits, shown = _facts_of(loss.func)
        return name, bool(loss.keywords.get("from_logits", logits)), shown
    if isinstance(loss, type):
        own = loss.__module__.startswith("keras.")
        return _letters(loss.__name__) if own else None, False, loss.__name__
    shown = getattr(loss, "__name__", type(loss).__name__)
    own = str(getattr(loss, "__module__", type(loss).__module__)).startswith("keras.")
    if loss is None or not own:
        return None, False, shown
    config: dict[str, Any] = loss.get_config() if hasattr(loss, "get_config") else {}
    return _letters(shown), bool(config.get("from_logits", False)), shown
