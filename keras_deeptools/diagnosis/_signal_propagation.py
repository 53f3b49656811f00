"""Signals forward and gradients backward, layer by layer."""

import math
from typing import Any

import keras
import numpy as np

from keras_deeptools.diagnosis import _signal_statistics as statistics
from keras_deeptools.diagnosis._activation_limits import saturation_bands
from keras_deeptools.diagnosis._jacobians import output_jacobians
from keras_deeptools.diagnosis._layer_signal import LayerSignal
from keras_deeptools.diagnosis._signal_result import SignalPropagation
from keras_deeptools.engine import Capture, LayerCall, layers_of
from keras_deeptools.engine._checked_batch import check_batch

ACTIVATIONS = (
    keras.layers.Activation,
    keras.layers.ELU,
    keras.layers.LeakyReLU,
    keras.layers.ReLU,
)
KERNELS = ("pointwise_kernel", "kernel", "depthwise_kernel", "embeddings")


def signal_propagation(
    model: keras.Model,
    x: Any,
    y: Any = None,
    loss: Any = None,
    *,
    jacobian_rows: int = 0,
) -> SignalPropagation:
    """Measures how signals and gradients pass through a model, and names what is wrong.

    A network trains well when outputs keep their spread from layer to layer on the way
    forward, and gradients theirs on the way back. One compiled pass over a batch, in
    inference, measures both; the model stays as it is.

    Listed are layers that hold a kernel or embeddings, recurrent layers, and activation
    layers; inside attention, nested and subclassed models too.

    Args:
        model: Built `keras.Model`.
        x: One batch of inputs, as in training: array or nested structure of arrays.
        y: Its targets; None leaves out all that is backward.
        loss: Loss as in `compile`; None takes the one that the model was compiled with.
        jacobian_rows: Int >= 0, rows of `x` for which the singular values of the
            Jacobian of the outputs with respect to each layer are computed. It takes
            one backward pass for each output unit.

    Returns:
        `SignalPropagation`, with `table()`, `plot()`, `findings` and a `verdict`.

    Raises:
        TypeError: If `model` is no Keras model, or the data no numbers.
        ValueError: If the model is not built or has no loss for `y`, or the data do not
            fit. Nothing has been changed then.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.diagnosis import signal_propagation
    >>> init = keras.initializers.RandomNormal(stddev=0.01, seed=1)
    >>> hidden = [keras.layers.Dense(8, "tanh", kernel_initializer=init) for _ in "abc"]
    >>> model = keras.Sequential([keras.Input((4,)), *hidden, keras.layers.Dense(1)])
    >>> x = np.random.default_rng(0).normal(size=(32, 4))
    >>> result = signal_propagation(model, x, x[:, :1], "mse")
    >>> [finding.kind for finding in result.findings]
    ['vanishing signal', 'vanishing gradient']

    Reference:
        Glorot and Bengio, 2010. https://proceedings.mlr.press/v9/glorot10a.html;
        Jacobians: Saxe et al., 2014. https://arxiv.org/abs/1312.6120
    """
    rows = check_batch("signal_propagation", model, x, y)
    whole = isinstance(jacobian_rows, int) and not isinstance(jacobian_rows, bool)
    if not whole or not 0 <= jacobian_rows <= rows:
        raise ValueError(
            "signal_propagation: `jacobian_rows` must be an int in [0, rows of x]. "
            f"Received: jacobian_rows={jacobian_rows!r}, {rows} rows."
        )
    bands = {id(layer): _bands_of(layer) for layer, _ in layers_of(model)}
    backward = {
        "backward": lambda call, g: (
            statistics.of_gradient(g) if _listed(call) else None
        ),
        "weights": lambda variable, g: statistics.of_gradient(g),
        "loss": loss,
    }

    def forward(call: LayerCall, pre: Any, out: Any) -> Any:
        if not _listed(call) or not keras.ops.is_tensor(out):
            return None
        first = getattr(call.layer, "data_format", None) == "channels_first"
        return statistics.of_outputs(
            pre, out, bands[id(call.layer)], 1 if first else -1
        )

    capture = Capture(model, forward=forward, **({} if y is None else backward))
    found = capture(x, y)
    jacobians: dict[str, np.ndarray] = {}
    if jacobian_rows:
        part = keras.tree.map_structure(lambda v: np.asarray(v)[:jacobian_rows], x)
        jacobians = output_jacobians(model, part)
    gradients = found.backward or [None] * len(found.calls)
    layers = [
        _layer(call, record, gradient, found.weights, bands, jacobians)
        for call, record, gradient in zip(
            found.calls, found.forward, gradients, strict=True
        )
        if record is not None
    ]
    return SignalPropagation(
        tuple(layers), math.nan if found.loss is None else found.loss
    )


def _listed(call: LayerCall) -> bool:
    if isinstance(call.layer, ACTIVATIONS):
        return True
    if isinstance(call.layer, keras.layers.RNN):
        return True
    return any(role in call.variables for role in KERNELS)


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
    kernel = next((call.variables[r] for r in KERNELS if r in call.variables), None)
    of_kernel = weights.get(kernel.path) if kernel is not None else None
    optional: dict[str, Any] = {n: float(v) for n, v in record.items() if n != "sample"}
    if not bands[id(call.layer)]:
        optional["saturated"] = math.nan
    if gradient is not None:
        optional |= {
            "gradient_mean": float(gradient["mean"]),
            "gradient_std": float(gradient["rms"]),
            "gradients": gradient["sample"],
        }
    if of_kernel is not None:
        optional |= {
            "weight_gradient_std": float(of_kernel["rms"]),
            "weight_gradients": of_kernel["sample"],
        }
    if call.name in jacobians:
        optional["singular_values"] = jacobians[call.name]
    return LayerSignal(
        call.name,
        type(call.layer).__name__,
        weighted=not isinstance(call.layer, ACTIVATIONS),
        activations=record["sample"],
        **optional,
    )
