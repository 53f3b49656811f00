"""How each output of a model ends, and which loss it meets."""

import functools
from dataclasses import dataclass
from typing import Any

import keras

from keras_deeptools.engine._graph.calls import moves_values
from keras_deeptools.engine._graph.output_tails import (
    OutputTail,
    Shape,
    output_tails_of,
)
from keras_deeptools.engine._keras_private.versions import loss_argument
from keras_deeptools.statistics._incoming_axes import NORMALIZERS

LINEAR = (keras.layers.Dense, keras.layers.EinsumDense)
WRAPPERS = (
    keras.layers.Bidirectional,
    keras.layers.SpectralNormalization,
    keras.layers.TimeDistributed,
)
LINEAR_END = "linear"


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
