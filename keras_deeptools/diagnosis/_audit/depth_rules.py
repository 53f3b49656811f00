"""What loses, or blows up, signals over many layers; what breaks SELU networks."""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from keras_deeptools._finding import Finding
from keras_deeptools.diagnosis._audit.subject import (
    ACTIVATIONS,
    MEASURED,
    MERGES,
    Subject,
    activation_of,
    listing,
)
from keras_deeptools.diagnosis._audit.weight_rules import is_untrained
from keras_deeptools.diagnosis._signal_propagation.measurement import is_trained
from keras_deeptools.engine._graph.calls import Call
from keras_deeptools.initializers import fans
from keras_deeptools.statistics._activation_moments import moments
from keras_deeptools.statistics._incoming_axes import (
    CONVOLUTIONS,
    NORMALIZERS,
    TRANSPOSED,
)

UNEVEN = 30.0
"""Ratio between the ends of a line of layers that is a finding; measured on data,
`signal_propagation` can be more exact."""

SEVERE = 1000.0

MIXING = (keras.layers.Dense, *CONVOLUTIONS, *TRANSPOSED)
KERNELS = ("kernel", "depthwise_kernel", "pointwise_kernel")
PASSING = (
    keras.layers.ActivityRegularization,
    keras.layers.Dropout,
    keras.layers.Flatten,
    keras.layers.InputLayer,
    keras.layers.Reshape,
)
"""Layers that leave the scale of signals as it is."""

STEP = 1e-3
"""Of the difference quotient of an activation."""

REFERENCE = "Glorot & Bengio, 2010, section 4.2.1; He et al., 2015, section 2.2"

PLAIN = (
    keras.layers.Dropout,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
)
SCALES = {"Divide", "Multiply", "Rescaling", "TrueDivide"}
"""Class names of layers and operations that can put a variance right."""
SOURCE = "Klambauer et al., 2017, section 3. https://arxiv.org/abs/1706.02515"


@dataclass(frozen=True)
class Line:
    """Layers one after another, without a branch, a normalization or an unknown layer.

    Attributes:
        names: Tuple of str, the layers with kernels.
        before: Float, second moment before the activation of the last of them.
        moment: Float, second moment of what arrives from it.
        slope: Float, mean square of the slopes of activations since.
        forward: Float, second moment before the activation of the last over that of
            the first.
        backward: Float, squared norm of the gradient there at the first over the last.
    """

    names: tuple[str, ...] = ()
    before: float = 1.0
    moment: float = 1.0
    slope: float = 1.0
    forward: float = 1.0
    backward: float = 1.0


def scale_in_depth(subject: Subject) -> Iterator[Finding]:
    """Lines of hidden layers whose initial weights do not fit their activations.

    What weights make of signals is computed for inputs that are normal with variance
    1, as in the derivation of Glorot's and He's initializations.
    """
    if not subject.calls or is_trained(subject.model):
        return
    lines = [line for line in _lines(subject) if len(line.names) > 1]
    for name, part in (("signal", "forward"), ("gradient", "backward")):
        ratios = [math.sqrt(getattr(line, part)) for line in lines]
        worst = max(ratios, key=_factor, default=1.0)
        if _factor(worst) > UNEVEN:
            yield _finding(name, lines[ratios.index(worst)], worst)


def _factor(ratio: float) -> float:
    return max(ratio, 1 / ratio) if ratio > 0 else math.inf


def _finding(name: str, line: Line, ratio: float) -> Finding:
    shrinks = ratio < 1
    way = "from the first to the last" if name == "signal" else "on the way back"
    return Finding(
        f"{'vanishing' if shrinks else 'exploding'} {name}",
        listing(line.names),
        f"For inputs of variance 1 their initial weights make {name}s "
        f"{_factor(ratio):.2g} times {'smaller' if shrinks else 'larger'} {way} of "
        f"{len(line.names)} layers, without a normalization or a skip in between.",
        "Give each kernel the variance that its activation needs "
        "(`initializers.initialize(model)`), or normalize; sigmoid and tanh lose "
        "gradients with any weights: use ReLU-like activations.",
        severity="problem" if _factor(ratio) > SEVERE else "warning",
        evidence={"ratio": ratio, "layers": len(line.names), "most_ratio": UNEVEN},
        code="keras_deeptools.initializers.initialize(model)",
        reference=REFERENCE,
    )


def _lines(subject: Subject) -> Iterator[Line]:
    """The line that each hidden layer with a kernel is the last of."""
    after: list[Line] = []
    for position, call in enumerate(subject.calls):
        line = Line()
        if len(call.parents) == 1:
            [parent] = call.parents
            if len(subject.children.get(parent, [])) == 1:
                line = after[parent]
        after.append(_continued(subject, call, line))
        is_end = position in subject.outputs or not subject.children.get(position)
        if isinstance(call.operation, MIXING) and not is_end:
            yield after[-1]


def _continued(subject: Subject, call: Call, line: Line) -> Line:
    operation = call.operation
    # An activation can be any function, of whole vectors too.
    with contextlib.suppress(Exception):
        if isinstance(operation, MIXING):
            return _mixed(subject, operation, line)
        if isinstance(operation, ACTIVATIONS):
            return _activated(operation, line)
        if isinstance(operation, PASSING) or "Pooling" in type(operation).__name__:
            return line
    return Line()


def _mixed(subject: Subject, layer: Any, line: Line) -> Line:
    held = next((held for each, held in subject.layers if each is layer), {})
    scale = 1.0
    for role in KERNELS:
        if role in held:
            value = subject.value(held[role])
            fan_in, _ = fans(tuple(value.shape), layer, role=role)
            scale *= fan_in * float(np.mean(np.square(value, dtype="float64")))
    before = line.moment * scale
    if scale == 0:
        # Begins at zero on purpose, or all do, which is another finding.
        return Line()
    if line.names:
        forward = line.forward * before / line.before
        backward = line.backward * scale * line.slope
    else:
        forward = backward = 1.0
    names = (*line.names, layer.name)
    mixed = Line(names, before, before, 1.0, forward, backward)
    return _activated(getattr(layer, "activation", None), mixed)


def _activated(activation: Any, line: Line) -> Line:
    if activation is None:
        return line

    def slope(values: Any) -> Any:
        return (activation(values + STEP) - activation(values - STEP)) / (2 * STEP)

    _, moment = moments(activation, line.moment)
    _, steepness = moments(slope, line.moment)
    return replace(line, moment=moment, slope=line.slope * steepness)


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
            "deviation was 1.28 with a rate of 0.1, and 53 with 0.5.",
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


RULES = (
    scale_in_depth,
    plain_dropout,
    initializers,
    unscaled_skips,
)
"""The rules of this file."""
