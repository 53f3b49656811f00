"""What one pass measures of a network: outputs forward, gradients backward."""

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np

from keras_deeptools._finding import Finding
from keras_deeptools.diagnosis._signal_propagation import statistics
from keras_deeptools.diagnosis._signal_propagation.statistics import (
    output_jacobians,
    saturation_bands,
)
from keras_deeptools.engine import Capture, LayerCall
from keras_deeptools.engine._backends.common import on_host
from keras_deeptools.engine._graph.layers import layers_of, may_be_kernel
from keras_deeptools.engine._passes.batch_norm_statistics import BatchStatistics
from keras_deeptools.engine._state.temporary_weights import StandIns
from keras_deeptools.engine._update.model_optimizers import (
    model_optimizers,
    updates_made,
)
from keras_deeptools.statistics._incoming_axes import NORMALIZERS
from keras_deeptools.statistics._input_findings import findings_of_received, received_by

NOTHING = np.zeros(0, "float32")

ACTIVATIONS = (
    keras.layers.Activation,
    keras.layers.ELU,
    keras.layers.LeakyReLU,
    keras.layers.ReLU,
)
OUTPUT_ROWS = 64
"""For how many samples a brief measurement brings back the outputs."""

KERNELS = ("pointwise_kernel", "kernel", "depthwise_kernel", "embeddings")


@dataclass(frozen=True, eq=False)
class LayerSignal:
    """Numbers about one call of a layer on a batch. Made by `signal_propagation`.

    Args:
        name: Str, path of the call; `#2` is the second use of a layer.
        kind: Str, class of the layer.
        weighted: Bool, whether the layer holds a kernel, or is recurrent.
        shape: Tuple of ints, shape of the outputs for one sample; None if a size
            depends on the data.
        normalizations: Int, how many normalization layers were called before it.
        mean: Float, mean of the outputs (activations).
        std: Float, their standard deviation over samples and units.
        pre_activation_std: Float, that of the outputs before the fused activation.
        saturated: Float in [0, 1], fraction of outputs next to a limit of the
            activation other than zero; NaN if it has no such limit.
        zero: Float in [0, 1], fraction of outputs that are exactly zero.
        dead: Float in [0, 1], fraction of units that are zero, or saturated, on the
            whole batch.
        gradient_mean: Float, mean of the gradient of the loss with respect to the
            pre-activations; NaN without a loss.
        gradient_std: Float, its root mean square.
        weight_gradient_std: Float, root mean square of the gradient with respect to
            the kernel; NaN if there is none.
        activations: Float32 array, a sample of at most 4096 outputs.
        gradients: Float32 array, a sample of the gradient of the pre-activations.
        weight_gradients: Float32 array, a sample of the gradient of the kernel.
        singular_values: Float64 array `(samples, k)`, singular values of the Jacobian
            of the model's outputs with respect to the pre-activations, for single
            samples.

    Example:

    >>> from keras_deeptools.diagnosis import LayerSignal
    >>> LayerSignal("dense", "Dense", mean=0.0, std=0.5).std
    0.5
    """

    name: str
    kind: str
    weighted: bool = True
    shape: tuple[int | None, ...] = ()
    normalizations: int = 0
    mean: float = math.nan
    std: float = math.nan
    pre_activation_std: float = math.nan
    saturated: float = math.nan
    zero: float = math.nan
    dead: float = math.nan
    gradient_mean: float = math.nan
    gradient_std: float = math.nan
    weight_gradient_std: float = math.nan
    activations: np.ndarray = field(default_factory=lambda: NOTHING, repr=False)
    gradients: np.ndarray = field(default_factory=lambda: NOTHING, repr=False)
    weight_gradients: np.ndarray = field(default_factory=lambda: NOTHING, repr=False)
    singular_values: np.ndarray = field(default_factory=lambda: NOTHING, repr=False)


@dataclass(frozen=True)
class MeasuredNetwork:
    """What was measured of one network."""

    layers: list[LayerSignal]
    loss: float
    findings: list[Finding]
    received: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    outputs: list[np.ndarray] = field(default_factory=list)
    order: list[Any] = field(default_factory=list)

    def under(self, name: str) -> "MeasuredNetwork":
        """The same with the name of the network before those of its layers."""
        return MeasuredNetwork(
            [replace(each, name=f"{name}/{each.name}") for each in self.layers],
            self.loss,
            [replace(each, where=f"{name}/{each.where}") for each in self.findings],
        )


def measure_network(
    model: keras.Model,
    x: Any,
    y: Any,
    loss: Any,
    jacobian_rows: int = 0,
    brief: bool = False,
) -> MeasuredNetwork:
    """Measures a network, which stays as it is.

    Args:
        model: Built `keras.Model`.
        x: Batch.
        y: Targets, or None: nothing backward.
        loss: As for `Capture`.
        jacobian_rows: Int >= 0.
        brief: Bool, whether to leave out what only plots and tables need, and bring
            back the outputs for some samples.
    """
    bands = {id(layer): _bands_of(layer) for layer, _ in layers_of(model)}
    shapes: dict[str, tuple[int | None, ...]] = {}
    backward = {
        "backward": lambda call, g: (
            statistics.of_gradient(g, brief) if _listed(call) else None
        ),
        "weights": lambda variable, g: (
            statistics.of_gradient(g, brief) if len(g.shape) > 1 or not brief else None
        ),
        "loss": loss,
    }

    def forward(call: LayerCall, pre: Any, out: Any) -> Any:
        if not _listed(call) or not _is_float(out):
            return None
        shapes[call.name] = tuple(out.shape[1:])
        first = getattr(call.layer, "data_format", None) == "channels_first"
        return statistics.of_outputs(
            pre, out, bands[id(call.layer)], 1 if first else -1, brief
        )

    capture = Capture(
        model,
        received=received_by,
        forward=forward,
        outputs=OUTPUT_ROWS if brief else 0,
        once=brief,
        **({} if y is None else backward),
    )
    found = capture(x, y)
    jacobians: dict[str, np.ndarray] = {}
    if jacobian_rows:
        part = keras.tree.map_structure(lambda v: np.asarray(v)[:jacobian_rows], x)
        jacobians = output_jacobians(model, part)
    gradients = found.backward or [None] * len(found.calls)
    layers, normalizations = [], 0
    for call, record, gradient in zip(
        found.calls, found.forward, gradients, strict=True
    ):
        normalizations += isinstance(call.layer, NORMALIZERS)
        if record is not None:
            layer = _layer(call, record, gradient, found.weights, bands, jacobians)
            shape = shapes[call.name]
            layers.append(replace(layer, shape=shape, normalizations=normalizations))
    findings = findings_of_received(found, x)
    received = [
        (call.name, numbers)
        for call, numbers in zip(found.calls, found.received, strict=True)
        if numbers is not None
    ]
    loss = math.nan if found.loss is None else found.loss
    order = [call.layer for call in found.calls]
    return MeasuredNetwork(layers, loss, findings, received, found.outputs, order)


@contextlib.contextmanager
def normalizing_as_in_training(model: keras.Model, x: Any) -> Iterator[None]:
    """Gives BatchNormalization that trains the statistics of a batch, for a while.

    Before training it would pass signals on as they are, and soon after with averages
    that lag behind; neither is what training sees.

    Args:
        model: Built `keras.Model`.
        x: Batch.
    """
    stand_ins = StandIns(model)
    try:
        statistics = BatchStatistics(model)
        if statistics.layers and len(keras.tree.flatten(x)[0]) > 1:
            stand_ins.show(statistics(x))
        yield
    finally:
        stand_ins.hide()


def is_trained(model: keras.Model) -> bool:
    """Whether weights have left what initializers have drawn, as far as it shows.

    Args:
        model: Built `keras.Model`.
    """
    optimizers = [each.optimizer for each in model_optimizers(model)]
    if any(updates_made(each) for each in optimizers):
        return True
    for _, held in layers_of(model):
        if "bias" in held:
            # Initializers give all units one bias, or gates ones and zeros.
            values = np.unique(on_host(held["bias"]))
            if len(values) > 1 and not set(values.tolist()) <= {0.0, 1.0}:
                return True
    return False


def activation_pass(model: keras.Model) -> Callable[[Any], list[tuple[str, Any]]]:
    """A pass that measures the outputs of layers, compiled once for many calls.

    Args:
        model: Built `keras.Model`.

    Returns:
        Function of inputs that returns a list of tuples of the name of a call and its
        statistics.
    """
    bands = {id(layer): _bands_of(layer) for layer, _ in layers_of(model)}

    def forward(call: LayerCall, pre: Any, out: Any) -> Any:
        if not _listed(call) or not _is_float(out):
            return None
        first = getattr(call.layer, "data_format", None) == "channels_first"
        numbers = statistics.of_outputs(
            pre, out, bands[id(call.layer)], 1 if first else -1
        )
        return {name: value for name, value in numbers.items() if name != "sample"}

    capture = Capture(model, forward=forward)

    def measured(x: Any) -> list[tuple[str, Any]]:
        found = capture(x)
        pairs = []
        for call, record in zip(found.calls, found.forward, strict=True):
            if record is not None:
                if not bands[id(call.layer)]:
                    record["saturated"] = math.nan
                pairs.append((call.name, record))
        return pairs

    return measured


def _is_float(out: Any) -> bool:
    return keras.ops.is_tensor(out) and "float" in keras.backend.standardize_dtype(
        out.dtype
    )


def _listed(call: LayerCall) -> bool:
    if isinstance(call.layer, ACTIVATIONS):
        return True
    if isinstance(call.layer, keras.layers.RNN):
        return True
    return _kernel_of(call) is not None


def _kernel_of(call: LayerCall) -> Any:
    """The weights that a layer multiplies by, or looks up; None without any."""
    known = next((call.variables[r] for r in KERNELS if r in call.variables), None)
    if known is not None:
        return known
    own = (v for v in call.variables.values() if may_be_kernel(call.layer, v))
    return next(own, None)


def _bands_of(layer: Any) -> list[tuple[float, float]]:
    if isinstance(layer, ACTIVATIONS):
        return saturation_bands(layer.call)
    activation = getattr(layer, "activation", None)
    return saturation_bands(activation) if callable(activation) else []


def _layer(
    call: LayerCall,
    record: dict[str, Any],
    gradient: dict[str, Any] | None,
    weights: dict[str, Any],
    bands: dict[int, Any],
    jacobians: dict[str, np.ndarray],
) -> LayerSignal:
    kernel = _kernel_of(call)
    of_kernel = weights.get(kernel.path) if kernel is not None else None
    optional: dict[str, Any] = {n: float(v) for n, v in record.items() if n != "sample"}
    if not bands[id(call.layer)]:
        optional["saturated"] = math.nan
    if gradient is not None:
        optional |= {
            "gradient_mean": float(gradient.get("mean", math.nan)),
            "gradient_std": float(gradient["rms"]),
            "gradients": gradient.get("sample", NOTHING),
        }
    if of_kernel is not None:
        optional |= {
            "weight_gradient_std": float(of_kernel["rms"]),
            "weight_gradients": of_kernel.get("sample", NOTHING),
        }
    if call.name in jacobians:
        optional["singular_values"] = jacobians[call.name]
    return LayerSignal(
        call.name,
        type(call.layer).__name__,
        weighted=not isinstance(call.layer, ACTIVATIONS),
        activations=record.get("sample", NOTHING),
        **optional,
    )
