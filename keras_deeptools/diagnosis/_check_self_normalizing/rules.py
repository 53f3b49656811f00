"""What breaks self-normalization, and how to fix it: one function a rule."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from keras_deeptools._finding import Finding
from keras_deeptools.diagnosis._check_self_normalizing.report import Measured
from keras_deeptools.layers import ScaledActivation

FAR = 0.2
"""Deviations this far from 1, means this far from 0, are findings."""

DROPOUTS = (
    keras.layers.Dropout,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
    keras.layers.GaussianDropout,
)
NORMALIZATIONS = (
    keras.layers.BatchNormalization,
    keras.layers.LayerNormalization,
    keras.layers.GroupNormalization,
    keras.layers.RMSNormalization,
    keras.layers.UnitNormalization,
)
ACTIVATIONS = (
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.PReLU,
    keras.layers.ELU,
)
HARMLESS = (keras.activations.selu, keras.activations.linear, None)
SCALINGS = ("Rescaling", "Multiply", "Divide", "TrueDivide")
POOLINGS = ("MaxPooling", "AveragePooling", "GlobalMax", "GlobalAverage", "Adaptive")

REFERENCE = "Klambauer et al., 2017, section 2"

Findings = Iterator[Finding]


def of_weights(found: Measured, following: Measured | None) -> Findings:
    """Kernels that are not of variance 1 / fan-in."""
    gain = found.weight_gain
    if gain is None or abs(gain - 1) <= _tolerance(found):
        return
    names = [
        type(getattr(found.layer, name)).__name__
        for name in ("kernel_initializer", "depthwise_initializer")
        if hasattr(found.layer, name)
    ]
    drawn = f" (kernel_initializer {names[0]})" if names else ""
    funnel = ""
    if names and names[0].startswith("Glorot"):
        funnel = "Glorot is right only where fan-in and fan-out are equal. "
    yield Finding(
        "initializer",
        found.call.name,
        f"The kernel{drawn} has {gain:.2f} times the standard deviation "
        f"1 / sqrt(fan-in){_outputs(found)}.",
        f'{funnel}Take kernel_initializer="lecun_normal".',
        evidence=moments(found)
        | {"weight_gain": gain, "normal_gain": 1.0, "tolerance": _tolerance(found)},
        code='kernel_initializer="lecun_normal"',
        reference=REFERENCE,
    )


def of_activation(found: Measured, following: Measured | None) -> Findings:
    """Activations other than SELU."""
    layer, function = found.layer, found.call.activation
    if isinstance(layer, keras.layers.Activation):
        function = layer.activation
    known = isinstance(layer, ACTIVATIONS) or type(layer).__name__ in OPERATIONS
    if not known and any(function is one for one in HARMLESS):
        return
    if isinstance(layer, ScaledActivation) or type(layer).__name__ == "Selu":
        return
    named = getattr(function, "__name__", None) or type(function).__name__
    name = type(layer).__name__ if known else named
    yield Finding(
        "activation",
        found.call.name,
        f"The activation is {name}{_outputs(found)}.",
        'Take activation="selu"; no other function here pulls mean and variance back.',
        evidence=moments(found),
        code='activation="selu"',
        reference=REFERENCE,
    )


OPERATIONS = (
    "Relu Relu6 LeakyRelu Elu Gelu Silu Mish Tanh Sigmoid Softplus Softsign Celu "
    "HardSigmoid HardSilu HardTanh LogSigmoid Glu SquarePlus Threshold"
).split()
"""Operations of a functional graph that are activations."""


def of_dropout(found: Measured, following: Measured | None) -> Findings:
    """Dropout that does not keep mean and variance."""
    layer = found.layer
    rate = getattr(layer, "rate", 0)
    if isinstance(layer, DROPOUTS) and rate > 0:
        yield Finding(
            "dropout",
            found.call.name,
            f"{type(layer).__name__}({rate:g}) raises the variance in training"
            f"{_outputs(found)}.",
            f"Take AlphaDropout({min(rate, 0.1):g}).",
            evidence=moments(found) | {"rate": rate},
            code=f"keras.layers.AlphaDropout({min(rate, 0.1):g})",
            reference=REFERENCE,
        )


def of_undefined_dropout(layer: keras.layers.AlphaDropout) -> Finding:
    """A dropout rate of 1, with which nothing can run in training mode."""
    return Finding(
        "dropout",
        layer.name,
        f"AlphaDropout({layer.rate:g}) divides by zero in training, so nothing was "
        "measured.",
        "Take a rate in [0, 1), such as 0.1.",
        evidence={"rate": layer.rate, "rate_below": 1.0},
    )


def of_skip(found: Measured, following: Measured | None) -> Findings:
    """Sums of branches that do not keep the variance."""
    kind = type(found.layer).__name__
    if kind not in ("Add", "Average", "Subtract"):
        return
    last = found
    if following is not None and type(following.layer).__name__ in SCALINGS:
        last = following
    if abs(last.std - 1) <= FAR:
        return
    adds = kind != "Average"
    yield Finding(
        "skip",
        found.call.name,
        f"{'The sum of branches adds' if adds else 'The average of branches divides'} "
        f"their variances{_outputs(last)}.",
        "Take SelfNormalizingResidual, or (x + f(x)) / sqrt(2).",
        evidence=moments(last),
    )


def of_padding(found: Measured, following: Measured | None) -> Findings:
    """Zero padding that takes variance from the edges."""
    ratio = found.edge_ratio
    if ratio is None or abs(ratio - 1) <= FAR:
        return
    layer = found.layer
    yield Finding(
        "padding",
        found.call.name,
        f'padding="{layer.padding}" fills the edges with zeros (standard deviation in '
        f"the corner {ratio:.2f} times that in the centre).",
        'Take SelfNormalizingConv with padding="same" or "reflect", or "valid".',
        evidence={"edge_ratio": ratio, "normal_ratio": 1.0, "tolerance": FAR},
    )


def of_pooling(found: Measured, following: Measured | None) -> Findings:
    """Pooling that moves mean or variance."""
    kind = type(found.layer).__name__
    if not kind.startswith(POOLINGS) or not _is_far(found):
        return
    yield Finding(
        "pooling",
        found.call.name,
        f"{kind} moves the moments{_outputs(found)}.",
        "Take strides in a SelfNormalizingConv; after global pooling at the end, "
        "rescale or leave it to the head.",
        evidence=moments(found),
    )


def of_normalization(found: Measured, following: Measured | None) -> Findings:
    """Normalization layers, which the property makes superfluous."""
    if not isinstance(found.layer, NORMALIZATIONS):
        return
    yield Finding(
        "normalization",
        found.call.name,
        f"{type(found.layer).__name__} replaces the moments that SELU settles at"
        f"{_outputs(found)}.",
        "Leave it out; with it, SELU has nothing over other activations.",
        severity="warning",
        evidence=moments(found),
    )


RULES: tuple[Callable[[Measured, Measured | None], Findings], ...] = (
    of_weights,
    of_activation,
    of_dropout,
    of_skip,
    of_padding,
    of_pooling,
    of_normalization,
)


def equal_kernels(measured: Sequence[Measured]) -> Findings:
    """Layers whose kernels are equal in every number."""
    first: dict[tuple[Any, ...], tuple[str, int]] = {}
    for found in measured:
        kernel = found.call.variables.get("kernel")
        if kernel is None or len(kernel.shape) < 2 or found.call.number > 1:
            continue
        values = np.asarray(keras.ops.convert_to_numpy(kernel), "float32")
        if np.ptp(values) == 0:
            continue
        name, one = first.setdefault(
            (values.shape, values.tobytes()), (found.call.name, id(kernel))
        )
        if one != id(kernel):
            yield Finding(
                "equal kernels",
                found.call.name,
                f"The kernel equals that of {name} in every number, as an initializer "
                "or a seed that two layers share makes it.",
                "Give each layer an initializer of its own, without a seed or with "
                "another one.",
                evidence={"shape": list(values.shape)},
            )


def moments(found: Measured) -> dict[str, float]:
    """The moments of a layer's outputs as evidence, with what would be normal."""
    return {
        "mean": found.mean,
        "std": found.std,
        "normal_mean": 0.0,
        "normal_std": 1.0,
        "tolerance": FAR,
    }


def _tolerance(found: Measured) -> float:
    """`FAR` in variance, and no less than what chance does in a small kernel."""
    kernels = [v for role, v in found.call.variables.items() if role.endswith("kernel")]
    smallest = min(math.prod(kernel.shape) for kernel in kernels)
    return max(FAR / 2, 3 * math.sqrt(0.5 / smallest))


def _is_far(found: Measured) -> bool:
    return not (abs(found.std - 1) <= FAR and abs(found.mean) <= FAR)


def _outputs(found: Measured) -> str:
    return f" (outputs of mean {found.mean:.2g}, standard deviation {found.std:.3g})"
