"""Signals forward and gradients backward, layer by layer."""

import math
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from keras_deeptools.diagnosis import _signal_statistics as statistics
from keras_deeptools.diagnosis._layer_signal import LayerSignal
from keras_deeptools.diagnosis._signal_findings import SignalFinding
from keras_deeptools.diagnosis._signal_result import SignalPropagation
from keras_deeptools.diagnosis._signal_statistics import (
    output_jacobians,
    saturation_bands,
)
from keras_deeptools.engine import Capture, LayerCall
from keras_deeptools.engine._data.checks import checked_batch
from keras_deeptools.engine._graph.layers import layers_of, may_be_kernel
from keras_deeptools.engine._passes.compiled_with import has_loss
from keras_deeptools.statistics._input_problems import (
    InputProblem,
    problems_of_arrays,
    problems_of_received,
    problems_of_targets,
    received_by,
)

OWNER = "signal_propagation"

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

    Of a model that has a `train_step` and no `call`, such as a GAN, the networks that
    take `x` are measured, each by itself.

    Args:
        model: `keras.Model`. One that is not built is built from `x`, with the weights
            that `fit` would begin with.
        x: Inputs as in training, all that `fit` takes: arrays, tensors, data frames,
            lists or dicts of them, or a `tf.data.Dataset`, `PyDataset`, torch
            `DataLoader` or generator, of which some batches are taken (of a generator
            one, which it does not give again). What is odd about them is a finding.
        y: Targets; None leaves out all that is backward, unless a dataset holds them
            and there is a loss.
        loss: Loss as in `compile`; None takes the one that the model was compiled with.
        jacobian_rows: Int >= 0, rows of `x` for which the singular values of the
            Jacobian of the outputs with respect to each layer are computed. It takes
            one backward pass for each output unit.

    Returns:
        `SignalPropagation`, with `table()`, `plot()`, `findings` and a `verdict`.

    Raises:
        TypeError: If `model` is no Keras model, or the data none that Keras takes.
        ValueError: If the model has no loss for `y`, or the data do not fit. Weights
            have not been changed then.

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
    batch = checked_batch(OWNER, model, x, y, finite=False)
    whole = isinstance(jacobian_rows, int) and not isinstance(jacobian_rows, bool)
    if not whole or not 0 <= jacobian_rows <= batch.rows:
        raise ValueError(
            "signal_propagation: `jacobian_rows` must be an int from 0 to the number "
            f"of samples. Received: jacobian_rows={jacobian_rows!r}, with {batch.rows} "
            "samples in `x`."
        )
    targets = batch.y
    if y is None and loss is None and not has_loss(batch.networks[0]):
        # Those of a dataset, which nobody asked to go back from.
        targets = None
    parts = []
    for network in batch.networks:
        part = _measured(network, batch.x, targets, loss, jacobian_rows)
        parts.append(part if network is model else part.under(network.name))
    problems = [*problems_of_arrays(batch.x), *problems_of_targets(targets)]
    return SignalPropagation(
        tuple(layer for part in parts for layer in part.layers),
        parts[0].loss if len(parts) == 1 else math.nan,
        tuple(
            SignalFinding(each.kind, each.where, each.message, each.remedy)
            for each in (*problems, *(p for part in parts for p in part.problems))
        ),
        tuple(batch.others),
    )


@dataclass(frozen=True)
class _Part:
    """What was measured of one network."""

    layers: list[LayerSignal]
    loss: float
    problems: list[InputProblem]

    def under(self, name: str) -> "_Part":
        """The same with the name of the network before those of its layers."""
        return _Part(
            [replace(each, name=f"{name}/{each.name}") for each in self.layers],
            self.loss,
            [replace(each, where=f"{name}/{each.where}") for each in self.problems],
        )


def _measured(
    model: keras.Model, x: Any, y: Any, loss: Any, jacobian_rows: int
) -> _Part:
    bands = {id(layer): _bands_of(layer) for layer, _ in layers_of(model)}
    backward = {
        "backward": lambda call, g: (
            statistics.of_gradient(g) if _listed(call) else None
        ),
        "weights": lambda variable, g: statistics.of_gradient(g),
        "loss": loss,
    }

    def forward(call: LayerCall, pre: Any, out: Any) -> Any:
        if not _listed(call) or not _is_float(out):
            return None
        first = getattr(call.layer, "data_format", None) == "channels_first"
        return statistics.of_outputs(
            pre, out, bands[id(call.layer)], 1 if first else -1
        )

    capture = Capture(
        model,
        received=received_by,
        forward=forward,
        **({} if y is None else backward),
    )
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
    problems = problems_of_received(found, x)
    return _Part(layers, math.nan if found.loss is None else found.loss, problems)


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
