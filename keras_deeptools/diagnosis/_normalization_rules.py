"""Traps around BatchNormalization."""

from collections.abc import Iterator
from typing import Any

import keras

from keras_deeptools._finding import Finding
from keras_deeptools.diagnosis._audit_subject import (
    MEASURED,
    Subject,
    activation_of,
    listing,
)


def drifting(subject: Subject) -> Iterator[Finding]:
    """BatchNormalization that was called with training=False, and trains."""
    names = [
        call.operation.name
        for _, call in subject.calls_to(keras.layers.BatchNormalization)
        if call.operation.trainable
        and any(it.training is False for it in (*call.enclosing, call))
    ]
    if names:
        yield Finding(
            "BatchNormalization that will drift",
            listing(names),
            "Called with training=False in a functional model, which fit overrides: "
            "its moving statistics follow the new data (a mean moved by .3).",
            "Freeze these layers (`trainable = False`), or call the base inside a "
            "layer of your own with training=False.",
            severity="warning",
            reference=MEASURED,
        )


def bias_before(subject: Subject) -> Iterator[Finding]:
    """A bias whose only reader subtracts the mean."""
    found = []
    for position, call in enumerate(subject.calls):
        layer = call.operation
        biased = getattr(layer, "use_bias", False) and activation_of(layer) is None
        if not biased or not isinstance(layer, keras.Layer):
            continue
        if not hasattr(layer, "kernel") and not hasattr(layer, "pointwise_kernel"):
            continue
        after = [child.operation for child in subject.children_of(position)]
        normalized = all(_normalizes(it, len(call.shape)) for it in after)
        if after and normalized and getattr(layer, "bias", None) is not None:
            found.append((layer.name, int(layer.bias.shape[0])))
    if found:
        yield Finding(
            "bias before BatchNormalization",
            listing(name for name, _ in found),
            "Training subtracts the mean right after it: the bias gets no gradient but "
            f"rounding noise. It does no harm and wastes {sum(n for _, n in found)} "
            "parameters.",
            "Give the layer use_bias=False.",
            severity="note",
            evidence={"wasted_parameters": sum(n for _, n in found)},
            code="use_bias=False",
            reference="Ioffe & Szegedy, 2015, section 3.2. https://arxiv.org/abs/1502.03167",
        )


def _normalizes(operation: Any, rank: int) -> bool:
    """Whether it subtracts the mean of each of the last axis' features in training."""
    return (
        isinstance(operation, keras.layers.BatchNormalization)
        and operation.trainable
        and operation.axis in (-1, rank - 1)
    )


RULES = (drifting, bias_before)
"""The rules of this file."""
