"""What reaches each layer when every layer before it keeps variance."""

import math
from collections.abc import Sequence
from typing import Any

import keras

from keras_deeptools.engine import Call, calls_in_a_row, calls_of, layers_of
from keras_deeptools.initializers._layer_kind import name_of
from keras_deeptools.statistics._activation_moments import moments

NORMALIZERS = (
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.RMSNormalization,
)
ACTIVATIONS = (
    keras.layers.ELU,
    keras.layers.LeakyReLU,
    keras.layers.ReLU,
)
AFTER_ATTENTION = "attention_output"
"""The projection in an attention layer whose inputs are not the layer's."""


def input_moments(model: Any) -> dict[int, float]:
    """Second moment of the inputs of the layers of a model, from its graph.

    Supposes inputs with second moment 1, layers whose outputs before their activation
    are normal with second moment 1 (which is what is about to be made so), and branches
    that are independent of one another. Dropout, pooling and padding count as if they
    were not there.

    Args:
        model: `keras.Layer`.

    Returns:
        Dict from `id(layer)` to float; of a layer that is called several times, the
        mean. Layers that are on no graph are not in it.
    """
    is_model = isinstance(model, keras.Model)
    calls = calls_in_a_row(model) or calls_of(model) if is_model else None
    reached: list[float] = []
    found: dict[int, list[float]] = {}
    for call in calls or []:
        given = [reached[parent] for parent in call.parents]
        before = given[0] if given else 1.0
        reached.append(_output_moment(call, given, calls or []))
        if not isinstance(call.operation, keras.Layer):
            continue
        # What happens inside a layer of the user's own cannot be seen.
        whole = type(call.operation).__module__.startswith("keras.")
        for layer, _ in layers_of(call.operation)[: None if whole else 1]:
            share = 1.0 if layer.name == AFTER_ATTENTION else before
            found.setdefault(id(layer), []).append(share)
    return {key: sum(values) / len(values) for key, values in found.items()}


def _output_moment(call: Call, given: list[float], calls: Sequence[Call]) -> float:
    """Second moment of what a call returns."""
    operation = call.operation
    kind = type(operation).__name__
    before = given[0] if given else 1.0
    if isinstance(operation, NORMALIZERS):
        return 1.0
    if isinstance(operation, keras.layers.Activation):
        return _after(operation.activation, before)
    if isinstance(operation, ACTIVATIONS):
        return _after(operation, before)
    if kind in ("Add", "Subtract") and len(given) > 1:
        return sum(given)
    if kind == "Average":
        return sum(given) / len(given) ** 2
    if kind == "Multiply" and len(given) > 1:
        return math.prod(given)
    if kind == "Concatenate":
        widths = [calls[parent].shape[-1] or 1 for parent in call.parents]
        total = sum(m * width for m, width in zip(given, widths, strict=True))
        return total / sum(widths)
    if isinstance(operation, keras.layers.Wrapper):
        operation = operation.layer
    if name_of(operation) is not None:
        gated = hasattr(operation, "recurrent_activation")
        return 1.0 if gated else _after(getattr(operation, "activation", None), 1.0)
    if not isinstance(operation, keras.Layer) and len(given) == 1:
        return _after(operation, before)
    return before


def _after(activation: Any, variance: float) -> float:
    """Second moment after an activation; unchanged where it is not element-wise."""
    try:
        return max(moments(activation, variance)[1], 1e-12)
    except (TypeError, ValueError):
        return variance
