"""New kernels for a whole built model."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import checked_option, message
from keras_deeptools.engine import layers_of
from keras_deeptools.initializers._arguments import checked_seed
from keras_deeptools.initializers._fan_scaling import (
    DISTRIBUTIONS,
    MODES,
    FanScaling,
)
from keras_deeptools.initializers._gain import gain
from keras_deeptools.initializers._initialization import (
    Initialization,
    InitializedWeights,
)
from keras_deeptools.initializers._input_moments import input_moments
from keras_deeptools.initializers._kernel import kernel_of
from keras_deeptools.initializers._layer_kind import ROLES, name_of, settings_for
from keras_deeptools.initializers._scaled_orthogonal import ScaledOrthogonal
from keras_deeptools.initializers._seed import started
from keras_deeptools.statistics._activation_moments import Activation, moments


def initialize(
    model: keras.Layer,
    activation: Activation = None,
    *,
    mode: str = "fan_in",
    distribution: str = "truncated_normal",
    seed: int | None = None,
) -> Initialization:
    """Draw the kernels of a built model anew, in place, so that variance holds.

    An initializer does not know the layer it serves; this walks over the layers and
    knows. Each kernel gets fans that are right for its layer and a gain for what its
    inputs have been through, read from the graph: the activation before it, 1 after a
    normalization, the sum at an addition. Inputs of the model should have mean 0 and
    variance 1. Every kernel has a stream of random numbers of its own, so one seed
    gives no two equal kernels. Recurrent kernels are made orthogonal gate by gate;
    biases, gains of normalization layers, frozen weights and those of unknown layers
    stay as they are. Optimizer state stays too: call it before training.

    Args:
        model: `keras.Model` or `keras.Layer`, built.
        activation: Str, function or None. A function whose gain is used everywhere.
            None reads the graph, and where there is none (in subclassed models and
            layers) takes each layer's own activation.
        mode: Str. `"fan_in"`, `"fan_out"` or `"fan_avg"`.
        distribution: Str. `"truncated_normal"`, `"untruncated_normal"`, `"uniform"` or
            `"orthogonal"`.
        seed: Int >= 0 or None. None takes one from Python's random state.

    Returns:
        `Initialization`, which says what was done; print it.

    Raises:
        TypeError: If `model` is no layer, or `seed` no int.
        ValueError: If `model` has no weights yet, or an option is unknown. Nothing has
            changed then.

    Example:

    >>> import keras
    >>> from keras_deeptools.initializers import initialize
    >>> model = keras.Sequential([
    ...     keras.Input((8, 8, 3)), keras.layers.DepthwiseConv2D(3, name="depthwise"),
    ...     keras.layers.Conv2D(16, 1, activation="relu", name="pointwise"),
    ...     keras.layers.Flatten(), keras.layers.Dense(10, name="top")], name="net")
    >>> print(initialize(model, seed=0))
    weights                     fan-in   fan-out    gain   deviation
    net/depthwise/kernel           9.0       9.0  1.0000      0.3333
    net/pointwise/kernel           3.0      16.0  1.0000      0.5774
    net/top/kernel               576.0      10.0  1.4142      0.0589

    Reference:
        He et al., 2015, section 2.2. https://arxiv.org/abs/1502.01852
    """
    owner = "initialize"
    checked_option(owner, "mode", mode, MODES)
    checked_option(owner, "distribution", distribution, (*DISTRIBUTIONS, "orthogonal"))
    checked_seed(owner, seed)
    if not isinstance(model, keras.Layer):
        raise TypeError(message(owner, "model", "a Keras model or layer", model))
    if not model.variables:
        remedy = "Build it first: `model.build(input_shape)`, or call it once."
        raise ValueError(message(owner, "model", "built", model.name, remedy))
    reach = {} if activation is not None else input_moments(model)
    constant = None if activation is None else gain(activation)
    stream = started(None if seed is None else int(seed))
    done, values, left = [], [], []
    for layer, role, variable in _weights(model):
        reason = _reason_to_leave(layer, role, variable)
        if reason:
            left.append(f"{variable.path}: {reason}")
            continue
        scaling = {
            "gain": _gain_of(layer, role, constant, reach),
            "mode": mode,
            "seed": int(stream.generator().integers(2**31)),
        }
        value, row = _drawn(layer, role, variable, distribution, scaling)
        values.append((variable, value))
        done.append(row)
    for variable, value in values:
        variable.assign(value)
    return Initialization(tuple(done), tuple(left))


def _drawn(
    layer: keras.Layer,
    role: str,
    variable: Any,
    distribution: str,
    scaling: dict[str, Any],
) -> tuple[Any, InitializedWeights]:
    """New values for some weights of a layer, and the line that says so."""
    known = layer if name_of(layer) is not None else None
    settings = settings_for("initialize", known, role, None, None)
    kernel = kernel_of(tuple(variable.shape), **settings)
    if distribution == "orthogonal" or role == "recurrent_kernel":
        initializer: FanScaling = ScaledOrthogonal(**settings, **scaling)
    else:
        initializer = FanScaling(distribution=distribution, **settings, **scaling)
    value = initializer(variable.shape, variable.dtype)
    deviation = initializer.gain * initializer.fan(kernel) ** -0.5
    fan_in, fan_out = kernel.fans
    return value, InitializedWeights(
        variable.path, fan_in, fan_out, initializer.gain, deviation
    )


def _weights(model: keras.Layer) -> Iterator[tuple[keras.Layer, str, Any]]:
    """Layer, role and variable of what may be a kernel, each variable once."""
    seen: set[int] = set()
    for layer, held in layers_of(model):
        for role, variable in held.items():
            if role in ROLES and id(variable) not in seen:
                seen.add(id(variable))
                yield layer, role, variable


def _reason_to_leave(layer: keras.Layer, role: str, variable: Any) -> str:
    """Why weights stay as they are; empty where they do not."""
    if not variable.trainable or not layer.trainable:
        return "frozen"
    if not keras.backend.is_float_dtype(variable.dtype):
        return "quantized"
    if len(variable.shape) < 2:
        return "no kernel"
    if name_of(layer) is None and role == "kernel" and len(variable.shape) > 2:
        return f"the axes of a {type(layer).__name__} are not known"
    return ""


def _gain_of(
    layer: keras.Layer, role: str, constant: float | None, reach: dict[int, float]
) -> float:
    """The gain of one kernel of a layer."""
    if role in ("recurrent_kernel", "pointwise_kernel", "embeddings"):
        return 1.0
    if constant is not None:
        return constant
    if id(layer) in reach:
        return float(np.sqrt(1 / reach[id(layer)]))
    own = getattr(layer, "activation", None)
    try:
        return float(moments(own)[1] ** -0.5)
    except (TypeError, ValueError, ZeroDivisionError):
        return 1.0
