"""Faults that show before training: initial weights, signals and gradients."""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import keras
import numpy as np

from keras_deeptools._finding import Finding
from keras_deeptools.diagnosis._audit.subject import Subject, listing
from keras_deeptools.diagnosis._diagnose.facts import Facts
from keras_deeptools.engine._update.model_optimizers import updates_made
from keras_deeptools.initializers import fans

TOO_LARGE = 20.0
"""Variance of a kernel times its fan-in; 1 to 2 are usual."""

TOO_SMALL = 0.02
DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
LAYERS_IN_LINE = 3
VANISHED = 1e-3
EXPLODED = 1e3
MOSTLY = 0.9


def symmetric_units(facts: Facts) -> Iterator[Finding]:
    """Kernels whose units all start equal, and hence stay so."""
    found = []
    for layer, name, value in _kernels(facts.subject):
        units = value.reshape(-1, value.shape[-1])
        if units.shape[1] > 1 and (units == units[:, :1]).all():
            found.append((layer.name, float(units.flat[0]), name))
    ends = {each.end.name for each in facts.outputs}
    hidden = [each for each in found if each[0] not in ends]
    if not hidden:
        return
    first = hidden[0][1]
    what = "zero" if first == 0 else f"{first:g}" if len(hidden) == 1 else "constant"
    yield Finding(
        "symmetric units",
        listing(name for name, _, _ in hidden),
        f"All units of the layer start with the same weights ({what}): they get the "
        "same gradient and stay one unit"
        + (", and with zeros no gradient passes at all." if first == 0 else "."),
        "Initialize at random: leave out kernel_initializer, or use he_normal.",
        evidence={"layers": len(hidden), "value": first},
        code='kernel_initializer="he_normal"',
        confidence=0.97,
        reference="Goodfellow et al., 2016, Deep Learning, section 8.4",
    )


def scale_of_weights(facts: Facts) -> Iterator[Finding]:
    """Initial kernels far from what keeps the scale of signals."""
    if _is_trained(facts.model):
        return
    large, small = [], []
    for layer, name, value in _kernels(facts.subject):
        if (value == value.flat[0]).all() or name == "recurrent_kernel":
            continue
        if isinstance(layer, DEPTHWISE):
            # What Keras takes for their fans is a finding of the audit's.
            continue
        try:
            fan_in, _ = fans(tuple(value.shape), layer, role=name)
        except ValueError:
            continue
        scale = float(np.mean(np.square(value, dtype="float64")) * fan_in)
        if scale > TOO_LARGE:
            large.append((layer.name, scale))
        elif scale < TOO_SMALL:
            small.append((layer.name, scale))
    if large:
        worst = max(scale for _, scale in large)
        yield Finding(
            "initial weights too large",
            listing(name for name, _ in large),
            f"The variance of a kernel is {worst:.3g} over its fan-in, where 1 to 2 "
            f"keep the scale of signals: outputs are {math.sqrt(worst):.3g} times as "
            "large as inputs, in each layer.",
            "Leave out kernel_initializer, or use he_normal or glorot_uniform.",
            evidence={"variance_times_fan_in": worst, "usual": 2.0},
            code='kernel_initializer="he_normal"',
            confidence=min(0.95, 0.7 + 0.1 * math.log10(worst / TOO_LARGE)),
            reference="Glorot & Bengio, 2010, section 4.2.1",
        )
    ends = {each.end.name for each in facts.outputs}
    small = [each for each in small if each[0] not in ends]
    if small and len(small) > 1:
        least = min(scale for _, scale in small)
        yield Finding(
            "initial weights too small",
            listing(name for name, _ in small),
            f"The variance of a kernel is {least:.2g} over its fan-in, where 1 to 2 "
            f"keep the scale of signals: they shrink to {math.sqrt(least):.2g} of it "
            "in each layer.",
            "Leave out kernel_initializer, or use he_normal or glorot_uniform.",
            evidence={"variance_times_fan_in": least, "usual": 2.0},
            code='kernel_initializer="he_normal"',
            confidence=0.75,
            reference="Glorot & Bengio, 2010, section 4.2.1",
        )


def gradients_in_depth(facts: Facts) -> Iterator[Finding]:
    """Gradients of kernels of one kind that shrink or grow towards the inputs."""
    hidden = [
        each
        for each in facts.hidden
        if math.isfinite(each.weight_gradient_std) and each.kind in ("Dense", "Conv2D")
    ]
    kind = max(
        {each.kind for each in hidden},
        key=lambda kind: sum(each.kind == kind for each in hidden),
        default="",
    )
    hidden = [each for each in hidden if each.kind == kind]
    if len(hidden) < LAYERS_IN_LINE:
        return
    first, last = hidden[0], hidden[-1]
    if last.weight_gradient_std <= 0:
        return
    ratio = first.weight_gradient_std / last.weight_gradient_std
    evidence = {
        "first": first.weight_gradient_std,
        "last": last.weight_gradient_std,
        "ratio": ratio,
        "layers": len(hidden),
    }
    if ratio < VANISHED:
        yield Finding(
            "vanishing gradient",
            first.name,
            f"Over {len(hidden)} layers the gradient goes from "
            f"{last.weight_gradient_std:.2g} at {last.name} to "
            f"{first.weight_gradient_std:.2g}: the first layers hardly learn.",
            "Use relu with he_normal, BatchNormalization, or skip connections.",
            evidence=evidence,
            code="keras_deeptools.initializers.lsuv(model, x)",
            confidence=0.7,
            reference="Glorot & Bengio, 2010, section 4.2",
        )
    elif ratio > EXPLODED:
        yield Finding(
            "exploding gradient",
            first.name,
            f"Over {len(hidden)} layers the gradient goes from "
            f"{last.weight_gradient_std:.2g} at {last.name} to "
            f"{first.weight_gradient_std:.2g}.",
            "Use he_normal or glorot_uniform, BatchNormalization, or clip gradients.",
            evidence=evidence,
            code="keras_deeptools.callbacks.GradientClipper(global_norm=1.0)",
            confidence=0.6,
            reference="Pascanu et al., 2013, section 2.1",
        )


def signals_in_depth(facts: Facts) -> Iterator[Finding]:
    """Outputs of layers of one kind that shrink or grow from layer to layer."""
    hidden = [
        each
        for each in facts.hidden
        if each.kind in ("Dense", "Conv2D") and math.isfinite(each.std)
    ]
    if len(hidden) < LAYERS_IN_LINE:
        return
    scales = [math.hypot(each.mean, each.std) for each in hidden]
    first, last = scales[0], scales[-1]
    if not first > 0 or not math.isfinite(last):
        return
    ratio = last / first
    steps = [after / max(before, 1e-300) for before, after in pairwise(scales)]
    most = 0.8 * len(steps)
    vanishes = ratio < VANISHED and sum(each < 0.9 for each in steps) >= most
    explodes = ratio > EXPLODED and sum(each > 1.1 for each in steps) >= most
    # In each layer, and not in one that is made to do so.
    if not (vanishes or explodes):
        return
    yield Finding(
        "vanishing signal" if vanishes else "exploding signal",
        hidden[-1].name,
        f"From {hidden[0].name} to {hidden[-1].name} the outputs go from {first:.2g} "
        f"to {last:.2g} over {len(hidden)} layers: "
        + (
            "what tells samples apart is lost on the way."
            if vanishes
            else "so do the gradients on their way back."
        ),
        "Use he_normal with relu, BatchNormalization, or skip connections.",
        evidence={"first": first, "last": last, "ratio": ratio, "layers": len(hidden)},
        code="keras_deeptools.initializers.lsuv(model, x)",
        confidence=0.7,
        reference="He et al., 2015, section 2.2. https://arxiv.org/abs/1502.01852",
    )


def stuck_units(facts: Facts) -> Iterator[Finding]:
    """Hidden layers most of whose units are dead, or saturated, on all samples."""
    dead = [each for each in facts.hidden if each.dead > MOSTLY and each.zero > MOSTLY]
    if dead:
        worst = max(dead, key=lambda each: each.dead)
        yield Finding(
            "dead units",
            listing(each.name for each in dead),
            f"{worst.dead:.0%} of its units put out zero for every sample: no gradient "
            "passes them.",
            "Start biases at 0, center the inputs, use he_normal or leaky_relu.",
            evidence={"dead": worst.dead, "most": MOSTLY},
            code='bias_initializer="zeros"',
            confidence=0.75,
            reference="Maas et al., 2013, section 2",
        )
    full = [each for each in facts.hidden if each.saturated > 0.7]
    if full:
        worst = max(full, key=lambda each: each.saturated)
        yield Finding(
            "saturated units",
            listing(each.name for each in full),
            f"{worst.saturated:.0%} of its outputs lie next to a limit of its "
            "activation, where the slope is nearly zero.",
            "Scale inputs and initial weights to 1, or use relu.",
            evidence={"saturated": worst.saturated},
            code="keras_deeptools.initializers.lsuv(model, x)",
            confidence=0.6,
            reference="Glorot & Bengio, 2010, section 3",
        )


def odd_biases(facts: Facts) -> Iterator[Finding]:
    """Biases that start far from zero."""
    if _is_trained(facts.model):
        return
    far = []
    for layer, held in facts.subject.layers:
        bias = held.get("bias")
        is_gated = isinstance(layer, (keras.layers.LSTMCell, keras.layers.GRUCell))
        if bias is None or is_gated or not layer.trainable:
            continue
        value = facts.subject.value(bias)
        if value.size and float(np.abs(value).mean()) > 2:
            far.append((layer.name, float(value.mean())))
    ends = {each.end.name for each in facts.outputs}
    far = [each for each in far if each[0] not in ends]
    if far:
        yield Finding(
            "initial biases far from zero",
            listing(name for name, _ in far),
            f"They start at {far[0][1]:.3g}: the activation is off, or saturated, for "
            "all samples.",
            "Leave out bias_initializer.",
            evidence={"bias": far[0][1]},
            code='bias_initializer="zeros"',
            confidence=0.85,
            reference="Goodfellow et al., 2016, Deep Learning, section 8.4",
        )


def frozen(facts: Facts) -> Iterator[Finding]:
    """Layers that are frozen although nobody has trained them."""
    model = facts.model
    if not model.trainable_variables and model.variables:
        yield Finding(
            "everything is frozen",
            model.name,
            "None of its variables is trainable: fit changes nothing.",
            "Set trainable = True on the layers that should learn, compile again.",
            evidence={"trainable": 0},
            code="model.trainable = True",
            confidence=0.97,
            reference="measured",
        )
        return
    if _is_trained(model):
        return
    names = []
    for layer, name, value in _kernels(facts.subject, trainable=False):
        try:
            fan_in, fan_out = fans(tuple(value.shape), layer, role=name)
        except ValueError:
            continue
        if _is_as_drawn(layer, name, value, fan_in, fan_out):
            names.append(layer.name)
    if names:
        yield Finding(
            "frozen layers that were never trained",
            listing(names),
            "Their kernels are as an initializer draws them, and trainable is False: "
            "they stay random.",
            "Set trainable = True, or load pretrained weights; then compile again.",
            evidence={"layers": len(names)},
            code="layer.trainable = True",
            confidence=0.7,
            reference="measured",
        )


def _is_as_drawn(
    layer: Any, role: str, value: np.ndarray, fan_in: float, fan_out: float
) -> bool:
    """Whether a kernel is what the layer's own initializer draws."""
    given = getattr(layer, f"{role}_initializer", None)
    if not isinstance(given, keras.initializers.VarianceScaling):
        return False
    fan = {"fan_in": fan_in, "fan_out": fan_out}.get(given.mode, (fan_in + fan_out) / 2)
    wanted = given.scale / fan
    limit = math.sqrt(3 * wanted)
    measured = float(np.mean(np.square(value, dtype="float64")))
    tolerance = 0.05 + 5 * math.sqrt(2 / value.size)
    fits = abs(measured / wanted - 1) < min(tolerance, 0.5)
    return fits and (given.distribution != "uniform" or np.abs(value).max() <= limit)


def _kernels(
    subject: Subject, trainable: bool = True
) -> Iterator[tuple[Any, str, np.ndarray]]:
    for layer, held in subject.layers:
        for name, variable in held.items():
            kernel = name == "kernel" or name.endswith("_kernel")
            if kernel and variable.trainable == trainable and len(variable.shape) > 1:
                yield layer, name, subject.value(variable)


def _is_trained(model: keras.Model) -> bool:
    optimizer = getattr(model, "optimizer", None)
    return optimizer is not None and updates_made(optimizer) > 0


RULES = (
    symmetric_units,
    scale_of_weights,
    gradients_in_depth,
    signals_in_depth,
    stuck_units,
    odd_biases,
    frozen,
)
"""The rules of this file."""
