"""Predictions under dropout before the last layer, computed without sampling."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import checked_option
from keras_deeptools.engine._building.first_call import built_by_first
from keras_deeptools.engine._data.samples import RowBatches
from keras_deeptools.engine._dropout.stochastic_layers import stochastic_layers
from keras_deeptools.engine._graph.calls import producer, submodel
from keras_deeptools.uncertainty._labelled_rows import ragged
from keras_deeptools.uncertainty._negative_log_likelihood import (
    NUM_NODES,
    Logits,
    logit_moments,
    mean_field_softmax,
    sigmoid_moments,
    softmax_moments,
)

SPATIAL = (
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
)

ACTIVATIONS = ("linear", "sigmoid", "softmax")


@dataclass(frozen=True, eq=False)
class LastLayer:
    """The model up to its last dropout layer, and what comes after it."""

    trunk: keras.Model
    rate: float
    kernel: np.ndarray
    bias: np.ndarray
    activation: str
    earlier: tuple[keras.Layer, ...]


def last_layer(owner: str, model: Any) -> LastLayer:
    """Finds Dropout, Dense and activation at the end of a model, or raises an error."""
    if not isinstance(model, keras.Model) or not getattr(model, "outputs", None):
        raise _unfit(owner, model, "is no built functional or Sequential model")
    if len(model.outputs) > 1:
        raise _unfit(owner, model, f"has {len(model.outputs)} outputs")
    layer, inputs = producer(model.outputs[0])
    activation = "linear"
    if isinstance(layer, keras.layers.Activation | keras.layers.Softmax):
        activation = _activation(owner, model, layer)
        layer, inputs = producer(inputs[0])
    if not isinstance(layer, keras.layers.Dense):
        raise _unfit(owner, model, f"ends in {layer.name!r}, which is no Dense layer")
    of_dense = _activation(owner, model, layer)
    if "linear" not in (of_dense, activation):
        raise _unfit(owner, model, "has two activations after its last Dense layer")
    dropout, features = producer(inputs[0])
    is_dropout = isinstance(
        dropout, keras.layers.Dropout | keras.layers.GaussianDropout
    )
    if not is_dropout or isinstance(dropout, SPATIAL):
        found = f"has {dropout.name!r} before its last Dense layer, which is no Dropout"
        raise _unfit(owner, model, f"{found} or GaussianDropout")
    if not 0 < dropout.rate < 1 or getattr(dropout, "noise_shape", None) is not None:
        raise _unfit(
            owner,
            model,
            f"has {dropout.name!r} with rate {dropout.rate} and noise_shape "
            f"{getattr(dropout, 'noise_shape', None)}; the rate must be in (0, 1), the "
            "mask that of every feature",
        )
    kernel = _float64(layer.kernel)
    return LastLayer(
        trunk=submodel(model, features[0]),
        rate=float(dropout.rate),
        kernel=kernel,
        bias=_float64(layer.bias) if layer.use_bias else np.zeros(kernel.shape[1]),
        activation=of_dense if activation == "linear" else activation,
        earlier=tuple(each for each in stochastic_layers(model) if each is not dropout),
    )


def _activation(owner: str, model: keras.Model, layer: keras.Layer) -> str:
    if isinstance(layer, keras.layers.Softmax):
        return "softmax"
    for name in ACTIVATIONS:
        if layer.activation is keras.activations.get(name):
            return name
    raise _unfit(
        owner,
        model,
        f"has {layer.name!r} at its end, whose activation is none of "
        + ", ".join(ACTIVATIONS),
    )


def _unfit(owner: str, model: Any, found: str) -> ValueError:
    name = getattr(model, "name", type(model).__name__)
    return ValueError(
        f"{owner}: `model` must end in Dropout, Dense and at most an activation. "
        f"Received: model={name!r}, which {found}. Use `mc_predict`."
    )


def _float64(variable: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(variable)).astype("float64")


METHODS = ("quadrature", "mean_field")

MOST_VALUES = 2**22
"""Approximate number of float64 values that are in memory at once."""

OWNER = "last_layer_predict"


@dataclass(frozen=True, eq=False)
class LastLayerPrediction:
    """Moments of a prediction under dropout; made by `last_layer_predict`.

    Attributes:
        mean: Float32 array `(n, ..., k)`, mean prediction.
        std: Float32 array `(n, ..., k)`, its standard deviation under dropout; NaN for
            a softmax with `"mean_field"`, which does not compute it.
        logit_mean: Float32 array `(n, ..., k)`, mean before the activation.
        logit_std: Float32 array `(n, ..., k)`, standard deviation before the
            activation.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.uncertainty import last_layer_predict
    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((2,)),
    ...         keras.layers.Dropout(0.5),
    ...         keras.layers.Dense(1, kernel_initializer="ones"),
    ...     ]
    ... )
    >>> prediction = last_layer_predict(model, np.array([[3.0, 4.0]]))
    >>> prediction.mean.tolist(), prediction.std.tolist()
    ([[7.0]], [[5.0]])
    """

    mean: np.ndarray
    std: np.ndarray
    logit_mean: np.ndarray
    logit_std: np.ndarray


def last_layer_predict(
    model: keras.Model,
    x: Any,
    *,
    batch_size: int = 32,
    method: str = "quadrature",
    activation: str = "auto",
    ignore_earlier: bool = False,
) -> LastLayerPrediction:
    """Predicts with the mean and spread under dropout in one pass, without sampling.

    The model has to end in Dropout, Dense and at most one activation, and must not have
    dropout elsewhere. Mean and variance of the logits are exact, and so are those of
    the prediction if the output is linear. For a sigmoid or softmax the logits are
    approximated as normal, which is accurate with many features. The error grows with
    the spread of the logits; `benchmarks/last_layer.py` measures it and the guide
    reports it. `mc_predict` has no such error, and is hardly slower where only the head
    is sampled.

    Args:
        model: `keras.Model`, functional or Sequential, with one output. The layer
            before its last Dense layer is `Dropout`, `GaussianDropout`, or a subclass.
        x: What `predict` takes: arrays, dicts, `tf.data.Dataset`, `PyDataset`. Batches
            may differ in length or size.
        batch_size: Int >= 1, used if `x` is arrays.
        method: `"quadrature"`: Gauss-Hermite quadrature over the logit of a sigmoid,
            and over the log-odds of each class of a softmax. `"mean_field"`: logits
            shrunk by `sqrt(1 + pi / 8 * variance)`; cheaper and less exact.
        activation: `"auto"`: the activation of the model. If that is linear,
            `"sigmoid"` or `"softmax"` takes the outputs as logits.
        ignore_earlier: Bool. Whether to allow other stochastic layers, which then drop
            nothing. By default they raise an error, because their part of the spread
            would be missing.

    Returns:
        `LastLayerPrediction`, with `.mean` and `.std`.

    Raises:
        ValueError: If the model does not end in these layers or has dropout elsewhere,
            or an option is unknown. The model is never changed.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.uncertainty import last_layer_predict
    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((16,)),
    ...         keras.layers.Dropout(0.5),
    ...         keras.layers.Dense(1, "sigmoid", kernel_initializer="ones"),
    ...     ]
    ... )
    >>> prediction = last_layer_predict(model, np.full((1, 16), 1 / 4))
    >>> prediction.logit_mean.tolist(), prediction.logit_std.tolist()
    ([[4.0]], [[1.0]])
    >>> f"{prediction.mean.item():.2f}"
    '0.97'

    Reference:
        Wang & Manning, 2013, section 2 (normal logits under dropout). Mean field:
        MacKay, 1992, section 4; Lu et al., 2020. https://arxiv.org/abs/2006.07584. The
        expansion of the log-odds around the mean logits is ours.
    """
    checked_option(OWNER, "method", method, METHODS)
    checked_option(OWNER, "activation", activation, ("auto", *ACTIVATIONS))
    batches = RowBatches(x, batch_size, OWNER)
    if isinstance(model, keras.Model):
        built_by_first(model, batches, OWNER)
    last = last_layer(OWNER, model)
    for layer in last.earlier:
        # Layers that drop in every inference call cannot be turned off.
        if not ignore_earlier or getattr(layer, "stochastic_inference", False):
            raise ValueError(
                f"{OWNER}: `model` must drop before its last layer only. Received: "
                f"model={model.name!r}, where {layer.name!r} drops too. Use "
                "`mc_predict`; `ignore_earlier=True` leaves out the part of layers "
                "that `predict` keeps silent."
            )
    if activation not in ("auto", last.activation) and last.activation != "linear":
        raise ValueError(
            f"{OWNER}: `activation` must be 'auto' where the model has one. Received: "
            f"activation={activation!r} with {last.activation!r} in the model. "
            "Leave it out."
        )
    function = last.activation if activation == "auto" else activation
    if batches.num_rows is not None:
        features = [last.trunk.predict(x, batch_size=batch_size, verbose=0)]
    else:
        features = [last.trunk.predict_on_batch(batch) for batch in batches]
    found = [_predicted(last, each, function, method) for each in features]
    return LastLayerPrediction(*(ragged(each) for each in zip(*found, strict=True)))


def _predicted(
    last: LastLayer, outputs: Any, function: str, method: str
) -> list[np.ndarray]:
    """Returns mean and spread of predictions and logits, for inputs of one shape."""
    features = np.asarray(outputs).astype("float64")
    shape = (*features.shape[:-1], last.kernel.shape[1])
    rows = features.reshape(-1, features.shape[-1])
    num_parts = -(-len(rows) * (rows.shape[1] + NUM_NODES * shape[-1]) // MOST_VALUES)
    parts = []
    for part in np.array_split(rows, min(num_parts, len(rows))):
        logits = logit_moments(part, last.kernel, last.bias, last.rate)
        spread = np.sqrt(logits.variance)
        parts.append((*_through(function, method, logits), logits.mean, spread))
    joined = [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
    return [each.reshape(shape).astype("float32") for each in joined]


def _through(
    function: str, method: str, logits: Logits
) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean and standard deviation after the activation."""
    if function == "linear":
        return logits.mean, np.sqrt(logits.variance)
    if function == "softmax":
        if method == "quadrature":
            return softmax_moments(logits)
        mean = mean_field_softmax(logits.mean, logits.variance)
        return mean, np.full_like(mean, np.nan)
    mean, std = sigmoid_moments(logits.mean, logits.variance)
    if method == "mean_field":
        shrunk = logits.mean / np.sqrt(1 + np.pi / 8 * logits.variance)
        return (1 + np.tanh(shrunk / 2)) / 2, std
    return mean, std
