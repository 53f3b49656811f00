"""One walk over a model in which the scale of every weighted layer can be set."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_deeptools._arguments import checked_verbose, is_integer, is_number, message
from keras_deeptools._finding import Finding
from keras_deeptools.engine import Capture, LayerCall
from keras_deeptools.engine._graph.layers import layers_of, may_be_kernel
from keras_deeptools.initializers._scaling_report import ScaledLayer
from keras_deeptools.statistics._input_findings import findings_of_received, received_by

LEAST_VARIANCE = 1e-36
LEAST_RELATIVE_VARIANCE = 1e-12


@dataclass(frozen=True)
class Moments:
    """Second moments of a linear layer's output over all its elements.

    Attributes:
        mean: Scalar tensor, mean of the output without the bias.
        linear: Scalar tensor, variance of the output without the bias.
        covariance: Scalar tensor, covariance of that output and the bias, or None.
        bias: Scalar tensor, variance of the bias; None if there is no bias.
    """

    mean: Any
    linear: Any
    covariance: Any = None
    bias: Any = None

    @classmethod
    def of(cls, linear: Any, bias: Any) -> "Moments":
        """The moments of an output without its bias, and of the bias.

        Args:
            linear: Float32 tensor.
            bias: Float32 tensor that broadcasts to it, or None.
        """
        mean = ops.mean(linear)
        centred = linear - mean
        variance = ops.mean(ops.square(centred))
        if bias is None:
            return cls(mean, variance)
        bias = bias - ops.mean(bias)
        return cls(mean, variance, ops.mean(centred * bias), ops.mean(ops.square(bias)))

    @property
    def varies(self) -> Any:
        """Scalar bool tensor: whether the output is more than a constant."""
        least = LEAST_RELATIVE_VARIANCE * ops.square(self.mean) + LEAST_VARIANCE
        return self.linear > least

    def scales(self, target: float) -> tuple[Any, Any]:
        """The scales of kernel and bias with which the output has the target.

        The bias stays as it is if the target can be reached with it (the root of a
        quadratic); if the bias alone varies more than that, both get the same scale.

        Args:
            target: Float > 0.

        Returns:
            Two scalar tensors; meaningless if the output does not vary.
        """
        if self.bias is None:
            return target / ops.sqrt(self.linear), 1.0
        room = target**2 - self.bias
        under = ops.square(self.covariance) + self.linear * room
        root = ops.sqrt(ops.maximum(under, 0.0))
        kept = (root - self.covariance) / self.linear
        whole = target / self.std(1.0, 1.0)
        return ops.where(room > 0, kept, whole), ops.where(room > 0, 1.0, whole)

    def std(self, scale: Any, bias_scale: Any) -> Any:
        """The standard deviation of the output with scaled kernel and bias."""
        if self.bias is None:
            return ops.abs(scale) * ops.sqrt(self.linear)
        mixed = 2 * scale * bias_scale * self.covariance
        total = ops.square(scale) * self.linear + mixed
        total = total + ops.square(bias_scale) * self.bias
        return ops.sqrt(ops.maximum(total, 0.0))


ROLES = ("pointwise_kernel", "kernel", "depthwise_kernel")
"""The weights in which the output is linear, the last one of the layer first."""


@dataclass(frozen=True)
class WalkRow:
    """The measurements for one call of a layer in a walk.

    Attributes:
        call: `LayerCall` of a layer whose scale can be set.
        kernel: Index of its kernel in `ScaleWalk.kernels`.
        std: Float, standard deviation of the scaled pre-activation.
        scale: Float, factor of the kernel.
        bias_scale: Float, factor of the bias.
        varies: Bool, False if the unscaled output is the same everywhere.
        gradient: Float, root mean square of the loss's gradient with respect to the
            pre-activation; NaN without a loss.
    """

    call: LayerCall
    kernel: int
    std: float
    scale: float
    bias_scale: float
    varies: bool
    gradient: float


def scaled_layer(
    old: WalkRow, new: WalkRow, scales: np.ndarray, **more: Any
) -> ScaledLayer:
    """What has become of a call, for the report.

    Args:
        old: `WalkRow` of the call before.
        new: `WalkRow` of the call after.
        scales: Array of the factors of all kernels.
        **more: Further attributes of the `ScaledLayer`.
    """
    scale = float(scales[new.kernel])
    return ScaledLayer(new.call.name, old.std, new.std, scale, **more)


class ScaleWalk:
    """A compiled walk over a model; each weighted layer is scaled when it is reached.

    The scale that brings a linear layer to its target is exact in one pass, because the
    layers before it are at their targets already: the cost is linear in depth.

    Args:
        model: Built `keras.Model`.
        target: Float > 0, the standard deviation to reach.
        loss: Function, name or None as for `Capture`; used if `backward` is True.
        backward: Bool. Whether gradients are computed.

    Attributes:
        kernels: The variables that can be scaled, each once.
        biases: For each of them the bias next to it, or None.
        exempt: Dict from the name of an exempt layer to the reason.
        findings: List of `Finding`, about the inputs in the first walk.
    """

    def __init__(
        self,
        model: keras.Model,
        target: float = 1.0,
        loss: Any = None,
        backward: bool = False,
    ) -> None:
        self.kernels: list[Any] = []
        self.biases: list[Any] = []
        self.exempt: dict[str, str] = {}
        self.findings: list[Finding] = []
        self._walked = False
        self._names: list[str] = []
        self._positions: dict[int, int] = {}
        for layer, variables in layers_of(model):
            self._enter(layer, variables)
        self._target = target
        self._records: dict[str, Any] = {}
        self._capture = Capture(
            model,
            received=received_by,
            transform=self._scaled,
            forward=lambda call, pre, out: self._records.pop(call.name, None),
            backward=self._gradient if backward else None,
            loss=loss,
        )

    def _enter(self, layer: Any, variables: dict[str, Any]) -> None:
        role = next((role for role in ROLES if role in variables), None)
        if role is None:
            if "embeddings" in variables:
                self.exempt[layer.name] = "embedding"
            elif any(may_be_kernel(layer, v) for v in variables.values()):
                self.exempt[layer.name] = "weights of unknown meaning"
            return
        reason = _exemption(layer, variables, variables[role])
        if reason is not None:
            self.exempt[layer.name] = reason
        elif id(variables[role]) not in self._positions:
            self._positions[id(variables[role])] = len(self.kernels)
            self.kernels.append(variables[role])
            self._names.append(layer.name)
            self.biases.append(variables.get("bias"))

    def __call__(
        self,
        x: Any,
        y: Any = None,
        scales: np.ndarray | None = None,
        exact: np.ndarray | None = None,
    ) -> list[WalkRow]:
        """Walks over the model without changing it.

        Args:
            x: Batch.
            y: Targets, for gradients.
            scales: Array `(kernels,)`; None: ones.
            exact: Bool array `(kernels,)`: kernels whose scale is chosen during the
                walk so as to reach the target; None: no kernels.

        Returns:
            List of `WalkRow`, one for each call, in order.
        """
        count = len(self.kernels)
        scales = np.ones(count) if scales is None else scales
        exact = np.zeros(count, bool) if exact is None else exact
        # Scalars are passed, since each access to an array would be an operation.
        found = self._capture(
            x,
            y,
            scales=list(scales.astype("float32")),
            exact=list(exact.astype("float32")),
        )
        if not self._walked:
            self.findings = findings_of_received(found, x)
        self._walked = True
        backward = found.backward or [None] * len(found.calls)
        return [
            WalkRow(
                call,
                self._position(call),
                std=float(record[0]),
                scale=float(record[1]),
                bias_scale=float(record[2]),
                varies=bool(record[3]),
                gradient=np.nan if gradient is None else float(gradient),
            )
            for call, record, gradient in zip(
                found.calls, found.forward, backward, strict=True
            )
            if record is not None
        ]

    def not_reached(self, rows: list[WalkRow]) -> dict[str, str]:
        """Layers whose kernel no call has used, with the reason."""
        seen = {row.kernel for row in rows}
        return {
            name: "not called, or inside a loop"
            for kernel, name in enumerate(self._names)
            if kernel not in seen
        }

    def _position(self, call: LayerCall) -> int:
        held = (call.variables.get(role) for role in ROLES)
        kernel = next((variable for variable in held if variable is not None), None)
        return self._positions.get(id(kernel), -1)

    def _scaled(self, call: LayerCall, z: Any, arguments: dict[str, Any]) -> Any:
        position = self._position(call)
        if position < 0:
            return z
        exact = arguments["exact"][position] > 0
        given = arguments["scales"][position]
        linear = ops.cast(z, "float32")
        bias = _bias_of(call, len(z.shape))
        if bias is not None:
            linear = linear - bias
        # Gradients do not flow through the choice of the scales.
        moments = Moments.of(ops.stop_gradient(linear), bias)
        scale, bias_scale = moments.scales(self._target)
        varies = moments.varies
        scale = ops.where(ops.logical_and(exact, varies), scale, given)
        scaled = linear * scale
        if bias is not None:
            bias_scale = ops.where(ops.logical_and(exact, varies), bias_scale, 1.0)
            scaled = scaled + bias * bias_scale
        std = moments.std(scale, bias_scale)
        self._records[call.name] = (std, scale, bias_scale, varies)
        return ops.cast(scaled, z.dtype)

    def _gradient(self, call: LayerCall, gradient: Any) -> Any:
        if self._position(call) < 0:
            return None
        # Gradients are divided by the largest; squares of small ones would be zero.
        largest = ops.max(ops.abs(gradient))
        divisor = ops.where(largest > 0, largest, 1.0)
        return divisor * ops.sqrt(ops.mean(ops.square(gradient / divisor)))


def _bias_of(call: LayerCall, rank: int) -> Any:
    variable = call.variables.get("bias")
    if variable is None:
        return None
    bias = ops.cast(variable.value, "float32")
    channels_first = getattr(call.layer, "data_format", None) == "channels_first"
    if channels_first and len(bias.shape) == 1:
        return ops.reshape(bias, (-1, *[1] * (rank - 2)))
    return bias


def _exemption(layer: Any, variables: dict[str, Any], kernel: Any) -> str | None:
    softmax: tuple[Callable, ...] = (
        keras.activations.softmax,
        keras.activations.log_softmax,
    )
    if "recurrent_kernel" in variables:
        return "recurrent"
    if getattr(layer, "activation", None) in softmax:
        return "softmax output"
    if not keras.backend.is_float_dtype(kernel.dtype):
        return "quantized"
    return None if kernel.trainable else "frozen"


def check_scaling(
    owner: str, target: Any, tolerance: Any, max_iterations: Any, verbose: Any
) -> None:
    """Raises if an argument is out of range.

    Args:
        owner: Str, name of the caller.
        target: Must be a number > 0.
        tolerance: Must be a number in (0, 1).
        max_iterations: Must be an int >= 1.
        verbose: Must be `"auto"`, 0 or 1.
    """
    if not is_number(target) or not 0 < target < float("inf"):
        remedy = "Give the standard deviation that outputs shall have, such as 1."
        raise ValueError(message(owner, "target", "a number > 0", target, remedy))
    if not is_number(tolerance) or not 0 < tolerance < 1:
        remedy = "Give a relative deviation, such as 0.05."
        raise ValueError(message(owner, "tolerance", "in (0, 1)", tolerance, remedy))
    if not is_integer(max_iterations) or max_iterations < 1:
        raise ValueError(
            message(owner, "max_iterations", "an int >= 1", max_iterations)
        )
    checked_verbose(owner, verbose, (0, 1))


def check_kernels(owner: str, model: Any, walks: Sequence[Any]) -> None:
    """Raises for a model without kernels; warns if all of them are left alone.

    Args:
        owner: Str, name of the caller.
        model: `keras.Model`.
        walks: `ScaleWalk` of each of its networks.
    """
    if any(walk.kernels for walk in walks):
        return
    exempt = {name: why for walk in walks for name, why in walk.exempt.items()}
    if not exempt:
        raise ValueError(
            f"{owner}: `model` must have layers with kernels to scale. Received: "
            f"{model.name!r}, which has none. Give a model with Dense or convolutional "
            "layers."
        )
    named = ", ".join(f"{name} ({why})" for name, why in list(exempt.items())[:5])
    warnings.warn(
        f"{owner}: no layer of {model.name!r} was scaled; left alone were: {named}.",
        stacklevel=3,
    )
