"""What `check_self_normalizing` measures in a pass, and what it found."""

import math
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_deeptools._finding import Finding
from keras_deeptools._text_table import text_table
from keras_deeptools.engine import Capture, LayerCall
from keras_deeptools.layers import ScaledWSConv2D
from keras_deeptools.statistics._incoming_axes import (
    CONVOLUTIONS,
    TRANSPOSED,
    incoming_axes,
)

KERNELS = ("kernel", "depthwise_kernel", "pointwise_kernel")


@dataclass(frozen=True)
class SelfNormalizingLayer:
    """The measurements of one call of a layer; made by `check_self_normalizing`.

    Attributes:
        name: Str. Name of the layer, with the models and layers around it.
        layer_type: Str. Name of its class.
        mean: Float. Mean of the outputs over the whole batch and all units.
        std: Float. Their standard deviation.
        weight_gain: Float or None. Square root of fan-in times the mean square of the
            kernel; 1 is LeCun's. None for layers without a kernel.
        edge_ratio: Float or None. Standard deviation before the activation in the first
            corner over that in the centre; None except for padded convolutions.

    Example:

    >>> from keras_deeptools.diagnosis import SelfNormalizingLayer
    >>> SelfNormalizingLayer("dense", "Dense", 0.01, 0.99, 1.02, None).std
    0.99
    """

    name: str
    layer_type: str
    mean: float
    std: float
    weight_gain: float | None
    edge_ratio: float | None


@dataclass(frozen=True)
class SelfNormalizingReport:
    """Findings and measurements; made by `check_self_normalizing`.

    Attributes:
        findings: Tuple of `Finding`, in the order of the layers. Their kinds are
            `"inputs"`, `"initializer"`, `"equal kernels"`, `"activation"`,
            `"dropout"`, `"skip"`, `"padding"`, `"pooling"`, `"normalization"` and
            `"drift"`, a departure that none of the others explains; `where` is the
            name of the layer, with the models and layers around it.
        layers: Tuple of `SelfNormalizingLayer`, in the order in which they ran.
        input_mean: Float. Mean of the inputs of the first layer with weights.
        input_std: Float. Their standard deviation.

    Example:

    >>> from keras_deeptools.diagnosis import SelfNormalizingReport
    >>> print(SelfNormalizingReport((), (), 0.0, 1.0))
    Self-normalizing: nothing found that breaks it.
    """

    findings: tuple[Finding, ...]
    layers: tuple[SelfNormalizingLayer, ...]
    input_mean: float
    input_std: float

    @property
    def holds(self) -> bool:
        """Whether nothing was found that breaks self-normalization."""
        return not self.findings

    def table(self) -> str:
        """Mean, standard deviation, gain of weights and corner by layer."""
        kinds: dict[str, list[str]] = {}
        for finding in self.findings:
            kinds.setdefault(finding.where, []).append(finding.kind)
        inputs = [f"{self.input_mean:.3g}", f"{self.input_std:.3g}", "", ""]
        rows = [["(inputs)", *inputs, ", ".join(kinds.get("inputs", []))]]
        for layer in self.layers:
            moments = [f"{layer.mean:.3g}", f"{layer.std:.3g}"]
            ratios = [_cell(layer.weight_gain), _cell(layer.edge_ratio)]
            found = ", ".join(kinds.get(layer.name, []))
            rows.append([layer.name, *moments, *ratios, found])
        titles = ["layer", "mean", "std", "weights", "corner", ""]
        return text_table(titles, rows, text=(0, -1))

    def __str__(self) -> str:
        if self.holds:
            return "Self-normalizing: nothing found that breaks it."
        count = len(self.findings)
        head = f"Not self-normalizing: {count} problem{'s' if count > 1 else ''}."
        return "\n".join([head, *map(str, self.findings)])


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


@dataclass(frozen=True, eq=False)
class Measured:
    """One call of a layer, and the moments of its outputs."""

    call: LayerCall
    mean: float
    std: float
    weight_gain: float | None
    edge_ratio: float | None

    @property
    def layer(self) -> Any:
        """The layer, or the operation of a functional graph."""
        return self.call.layer


def measure(model: keras.Model, x: Any) -> list[Measured]:
    """The calls of layers with float outputs, in training mode, changing nothing."""
    captured = Capture(model, forward=_moments, training=True)(x)
    return [
        Measured(
            call,
            float(found["mean"]),
            float(found["std"]),
            weight_gain(call),
            None if found["edge"] is None else float(found["edge"]),
        )
        for call, found in zip(captured.calls, captured.forward, strict=True)
        if found is not None and not isinstance(call.layer, keras.Model)
    ]


def _moments(call: LayerCall, before: Any, output: Any) -> dict[str, Any] | None:
    first = keras.tree.flatten(output)[0]
    if "float" not in keras.backend.standardize_dtype(first.dtype):
        return None
    first = ops.cast(first, "float32")
    return {
        "mean": ops.mean(first),
        "std": ops.std(first),
        "edge": _edge_ratio(call.layer, before),
    }


def _edge_ratio(layer: Any, before: Any) -> Any:
    """Deviation in the first corner over that in the centre."""
    padded = isinstance(layer, CONVOLUTIONS) and layer.padding != "valid"
    if not padded or max(layer.kernel_size) == 1:
        return None
    first = 1 if layer.data_format == "channels_last" else 2
    corner: list[Any] = [slice(None)] * first
    centre = list(corner)
    sizes = before.shape[first : first + len(layer.kernel_size)]
    if None in sizes:
        return None
    for size in sizes:
        corner.append(0)
        centre.append(size // 2)
    before = ops.cast(before, "float32")
    outer, inner = ops.std(before[tuple(corner)]), ops.std(before[tuple(centre)])
    return outer / (inner + 1e-12)


def weight_gain(call: LayerCall) -> float | None:
    """Square root of fan-in times mean square of the kernels; None without any.

    Kernels that follow one another in a layer multiply. Of a transposed convolution
    one in `stride` taps meets data.
    """
    kernels = {role: v for role, v in call.variables.items() if role in KERNELS}
    if not kernels or isinstance(call.layer, (ScaledWSConv2D, keras.layers.RNN)):
        return None
    square = 1.0
    for role, variable in kernels.items():
        values = np.asarray(ops.convert_to_numpy(variable), "float64")
        try:
            axes = incoming_axes(call.layer, role, values.ndim)
        except ValueError:
            return None
        if axes is None:
            return None
        square *= math.prod(values.shape[i] for i in axes) * np.mean(values**2)
    if isinstance(call.layer, TRANSPOSED):
        square /= math.prod(call.layer.strides)
    return float(np.sqrt(square))
