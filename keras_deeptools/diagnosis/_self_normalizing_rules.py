"""What breaks self-normalization, and how to mend it: one function a rule."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from keras_deeptools.diagnosis._self_normalizing_measurement import Measured
from keras_deeptools.diagnosis._self_normalizing_report import SelfNormalizingProblem
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

Problems = Iterator[SelfNormalizingProblem]


def of_weights(found: Measured, following: Measured | None) -> Problems:
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
    yield SelfNormalizingProblem(
        "initializer",
        found.call.name,
        f"The kernel{drawn} has {gain:.2f} times the standard deviation "
        f"1 / sqrt(fan-in){_outputs(found)}.",
        f'{funnel}Take kernel_initializer="lecun_normal".',
    )


def of_activation(found: Measured, following: Measured | None) -> Problems:
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
    yield SelfNormalizingProblem(
        "activation",
        found.call.name,
        f"The activation is {name}{_outputs(found)}.",
        'Take activation="selu"; no other function here pulls mean and variance back.',
    )


OPERATIONS = (
    "Relu Relu6 LeakyRelu Elu Gelu Silu Mish Tanh Sigmoid Softplus Softsign Celu "
    "HardSigmoid HardSilu HardTanh LogSigmoid Glu SquarePlus Threshold"
).split()
"""Operations of a functional graph that are activations."""


def of_dropout(found: Measured, following: Measured | None) -> Problems:
    """Dropout that does not keep mean and variance."""
    layer = found.layer
    rate = getattr(layer, "rate", 0)
    if isinstance(layer, DROPOUTS) and rate > 0:
        yield SelfNormalizingProblem(
            "dropout",
            found.call.name,
            f"{type(layer).__name__}({rate:g}) raises the variance in training"
            f"{_outputs(found)}.",
            f"Take AlphaDropout({min(rate, 0.1):g}).",
        )


def of_undefined_dropout(layer: keras.layers.AlphaDropout) -> SelfNormalizingProblem:
    """A rate of 1, with which nothing can run in training mode."""
    return SelfNormalizingProblem(
        "dropout",
        layer.name,
        f"AlphaDropout({layer.rate:g}) divides by zero in training, so nothing was "
        "measured.",
        "Take a rate in [0, 1), such as 0.1.",
    )


def of_skip(found: Measured, following: Measured | None) -> Problems:
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
    yield SelfNormalizingProblem(
        "skip",
        found.call.name,
        f"{'The sum of branches adds' if adds else 'The average of branches divides'} "
        f"their variances{_outputs(last)}.",
        "Take SelfNormalizingResidual, or (x + f(x)) / sqrt(2).",
    )


def of_padding(found: Measured, following: Measured | None) -> Problems:
    """Zero padding that takes variance from the edges."""
    ratio = found.edge_ratio
    if ratio is None or abs(ratio - 1) <= FAR:
        return
    layer = found.layer
    yield SelfNormalizingProblem(
        "padding",
        found.call.name,
        f'padding="{layer.padding}" fills the edges with zeros (standard deviation in '
        f"the corner {ratio:.2f} times that in the centre).",
        'Take SelfNormalizingConv with padding="same" or "reflect", or "valid".',
    )


def of_pooling(found: Measured, following: Measured | None) -> Problems:
    """Pooling that moves mean or variance."""
    kind = type(found.layer).__name__
    if not kind.startswith(POOLINGS) or not _is_far(found):
        return
    yield SelfNormalizingProblem(
        "pooling",
        found.call.name,
        f"{kind} moves the moments{_outputs(found)}.",
        "Take strides in a SelfNormalizingConv; after global pooling at the end, "
        "rescale or leave it to the head.",
    )


def of_normalization(found: Measured, following: Measured | None) -> Problems:
    """Normalization layers, which the property makes superfluous."""
    if not isinstance(found.layer, NORMALIZATIONS):
        return
    yield SelfNormalizingProblem(
        "normalization",
        found.call.name,
        f"{type(found.layer).__name__} replaces the moments that SELU settles at"
        f"{_outputs(found)}.",
        "Leave it out; with it, SELU has nothing over other activations.",
    )


RULES: tuple[Callable[[Measured, Measured | None], Problems], ...] = (
    of_weights,
    of_activation,
    of_dropout,
    of_skip,
    of_padding,
    of_pooling,
    of_normalization,
)


def equal_kernels(measured: Sequence[Measured]) -> Problems:
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
            yield SelfNormalizingProblem(
                "equal kernels",
                found.call.name,
                f"The kernel equals that of {name} in every number, as an initializer "
                "or a seed that two layers share makes it.",
                "Give each layer an initializer of its own, without a seed or with "
                "another one.",
            )


def _tolerance(found: Measured) -> float:
    """`FAR` in variance, and no less than what chance does in a small kernel."""
    kernels = [v for role, v in found.call.variables.items() if role.endswith("kernel")]
    smallest = min(math.prod(kernel.shape) for kernel in kernels)
    return max(FAR / 2, 3 * math.sqrt(0.5 / smallest))


def _is_far(found: Measured) -> bool:
    return not (abs(found.std - 1) <= FAR and abs(found.mean) <= FAR)


def _outputs(found: Measured) -> str:
    return f" (outputs of mean {found.mean:.2g}, standard deviation {found.std:.3g})"
