"""Traps that break the self-normalizing property of SELU networks."""

from collections.abc import Iterator
from typing import Any

import keras

from keras_deeptools._finding import Finding
from keras_deeptools.diagnosis._audit_subject import (
    MEASURED,
    MERGES,
    Subject,
    activation_of,
    listing,
)
from keras_deeptools.diagnosis._weight_rules import is_untrained
from keras_deeptools.statistics._incoming_axes import NORMALIZERS

PLAIN = (
    keras.layers.Dropout,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
)
SCALES = {"Divide", "Multiply", "Rescaling", "TrueDivide"}
"""Class names of layers and operations that can put a variance right."""
SOURCE = "Klambauer et al., 2017, section 3. https://arxiv.org/abs/1706.02515"


def plain_dropout(subject: Subject) -> Iterator[Finding]:
    """Dropout that sets SELU outputs to zero, which is not their lowest value."""
    names = [
        call.operation.name
        for position, call in subject.calls_to(*PLAIN)
        if call.operation.rate > 0 and _comes_from_selu(subject, call.parents)
    ]
    if names:
        yield Finding(
            "plain dropout with SELU",
            listing(names),
            "It changes mean and variance in training: over 50 layers the standard "
            "deviation was 1.28 with a rate of .1, and 53 with .5.",
            "Use AlphaDropout.",
            severity="warning",
            code="keras.layers.AlphaDropout(0.1)",
            reference=SOURCE,
        )


def initializers(subject: Subject) -> Iterator[Finding]:
    """Layers with SELU whose initializer does not give weights a variance of 1/fan."""
    names = []
    for layer, held in subject.layers:
        initializer: Any = getattr(layer, "kernel_initializer", None)
        scaling = isinstance(initializer, keras.initializers.VarianceScaling)
        if activation_of(layer) != "selu" or "kernel" not in held or not scaling:
            continue
        if not is_untrained(subject, initializer, held["kernel"]):
            continue
        if initializer.mode == "fan_in" and not 0.75 < initializer.scale < 1.5:
            names.append(f"{layer.name} ({type(initializer).__name__})")
        shape = held["kernel"].shape
        ratio = 2 * shape[-2] / (shape[-2] + shape[-1])
        if initializer.mode == "fan_avg" and not 0.75 < ratio < 1.5:
            names.append(f"{layer.name} ({type(initializer).__name__} in a funnel)")
    if names:
        yield Finding(
            "initializer that is not for SELU",
            listing(names),
            "Weights need a variance of 1 / fan-in. With he_normal the standard "
            "deviation grew to 18 over 50 layers; glorot is right only where a layer "
            "has as many outputs as inputs.",
            'Use "lecun_normal", or `initialize(model)`.',
            severity="warning",
            code='kernel_initializer="lecun_normal"',
            reference=SOURCE,
        )


def unscaled_skips(subject: Subject) -> Iterator[Finding]:
    """Additions of SELU branches with nothing after them that divides."""
    names = []
    for position, call in enumerate(subject.calls):
        if type(call.operation).__name__ != "Add" or len(set(call.parents)) < 2:
            continue
        after = [child.operation for child in subject.children_of(position)]
        settled = after and all(
            isinstance(it, NORMALIZERS) or type(it).__name__ in SCALES for it in after
        )
        if _comes_from_selu(subject, call.parents) and not settled:
            names.append(call.operation.name)
    if names:
        yield Finding(
            "skip without scaling in a SELU network",
            listing(names),
            "Each addition of two branches of variance 1 doubles it: over 50 blocks "
            "the standard deviation grew to 9e7; divided by sqrt(2) it was 1.04.",
            "Multiply the sum by 1 / sqrt(2) (a Rescaling layer does).",
            severity="warning",
            code="keras.layers.Rescaling(0.5**0.5)",
            reference=MEASURED,
        )


def _comes_from_selu(subject: Subject, parents: tuple[int, ...]) -> bool:
    """Whether the last activation before any of these calls is SELU.

    Asks back through layers without activation, and no further than a normalization or
    an addition.
    """
    pending, seen = list(parents), set()
    while pending:
        here = pending.pop()
        if here in seen:
            continue
        seen.add(here)
        operation: Any = subject.calls[here].operation
        name = activation_of(operation)
        if name == "selu":
            return True
        layer = isinstance(operation, keras.Layer)
        acts = name is not None and (layer or hasattr(keras.activations, name))
        if acts or isinstance(operation, NORMALIZERS):
            continue
        if type(operation).__name__ not in MERGES:
            pending += subject.calls[here].parents
    return False


RULES = (plain_dropout, initializers, unscaled_skips)
"""The rules of this file."""
