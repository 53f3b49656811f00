"""The last Dropout and Dense layers of a model, found in its graph."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine import producer, stochastic_layers, submodel

SPATIAL = (
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
)
ACTIVATIONS = ("linear", "sigmoid", "softmax")


@dataclass(frozen=True, eq=False)
class LastLayer:
    """The model up to its last dropout, and what comes behind it."""

    trunk: keras.Model
    rate: float
    kernel: np.ndarray
    bias: np.ndarray
    activation: str
    earlier: tuple[keras.Layer, ...]


def last_layer(owner: str, model: Any) -> LastLayer:
    """Find Dropout, Dense and activation at the end of `model`, or raise as `owner`."""
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
