"""New kernels for a whole model."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import checked_option, checked_seed, message
from keras_deeptools._text_table import NotebookText, text_table
from keras_deeptools.engine._building.first_call import initialize_later, is_built
from keras_deeptools.engine._graph.calls import Call, calls_in_a_row, calls_of
from keras_deeptools.engine._graph.layers import layers_of
from keras_deeptools.initializers._fan_scaling import DISTRIBUTIONS, MODES, FanScaling
from keras_deeptools.initializers._initializer_for import ROLES, name_of, settings_for
from keras_deeptools.initializers._kernel import (
    REMEDY,
    Seed,
    as_tensor,
    kernel_of,
    started,
)
from keras_deeptools.initializers._scaled_orthogonal import ScaledOrthogonal
from keras_deeptools.statistics._activation_moments import Activation, gain_of, moments
from keras_deeptools.statistics._incoming_axes import NORMALIZERS

ACTIVATIONS = (
    keras.layers.ELU,
    keras.layers.LeakyReLU,
    keras.layers.ReLU,
)

AFTER_ATTENTION = "attention_output"
"""The projection in an attention layer whose inputs are not those of the layer."""


@dataclass(frozen=True)
class InitializedWeights:
    """Weights with new values; made by `initialize`.

    Attributes:
        path: Str. Path of the variable.
        fan_in: Float. Number of inputs that one output sums over.
        fan_out: Float. Number of outputs that use one input.
        gain: Float. Gain that compensates for the layers before, such as an activation.
        deviation: Float. Standard deviation of the distribution.

    Example:

    >>> from keras_deeptools.initializers import InitializedWeights
    >>> InitializedWeights("dense/kernel", 4.0, 8.0, 1.0, 0.5).deviation
    0.5
    """

    path: str
    fan_in: float
    fan_out: float
    gain: float
    deviation: float


@dataclass(frozen=True)
class Initialization(NotebookText):
    """The weights of a model with new values, and those left; made by `initialize`.

    Attributes:
        weights: Tuple of `InitializedWeights`.
        left: Tuple of str, a path and the reason for each kernel that was left alone.
        later: Tuple of str, names of layers that are not built; their kernels are drawn
            when the layers are built.

    Example:

    >>> from keras_deeptools.initializers import Initialization, InitializedWeights
    >>> weights = InitializedWeights("dense/kernel", 4.0, 8.0, 1.0, 0.5)
    >>> print(Initialization((weights,), ("base/kernel: frozen",)))
    weights       fan-in  fan-out    gain  deviation
    dense/kernel     4.0      8.0  1.0000     0.5000
    left alone: base/kernel: frozen
    """

    weights: tuple[InitializedWeights, ...]
    left: tuple[str, ...] = ()
    later: tuple[str, ...] = ()

    def table(self) -> str:
        """Returns one line for each kernel."""
        titles = ["weights", "fan-in", "fan-out", "gain", "deviation"]
        rows = [
            [
                row.path,
                f"{row.fan_in:.1f}",
                f"{row.fan_out:.1f}",
                f"{row.gain:.4f}",
                f"{row.deviation:.4f}",
            ]
            for row in self.weights
        ]
        return text_table(titles, rows)

    def __str__(self) -> str:
        """Returns the table, the weights left alone and the layers drawn later."""
        lines = [self.table()] if self.weights or not self.later else []
        lines += [f"left alone: {it}" for it in self.left]
        if self.later:
            lines.append(f"drawn when the model is built: {', '.join(self.later)}")
        return "\n".join(lines)


def input_moments(model: Any) -> dict[int, float]:
    """Second moment of the inputs of the layers of a model, from its graph.

    It assumes inputs with second moment 1, layers whose outputs before their activation
    are normal with second moment 1 (which the new kernels bring about), and branches
    that are independent of one another. Dropout, pooling and padding are ignored.

    Args:
        model: `keras.Layer`.

    Returns:
        Dict from `id(layer)` to float; for a layer that is called several times, the
        mean. Layers that are not in a graph are left out.
    """
    is_model = isinstance(model, keras.Model)
    calls = calls_in_a_row(model) or calls_of(model) if is_model else None
    reached: list[float] = []
    found: dict[int, list[float]] = {}
    for call in calls or []:
        given = [reached[parent] for parent in call.parents]
        before = given[0] if given else 1.0
        reached.append(_output_moment(call, given, calls or []))
        if not isinstance(call.operation, keras.Layer):
            continue
        # The computation inside a custom layer is not in the graph.
        whole = type(call.operation).__module__.startswith("keras.")
        for layer, _ in layers_of(call.operation)[: None if whole else 1]:
            share = 1.0 if layer.name == AFTER_ATTENTION else before
            found.setdefault(id(layer), []).append(share)
    return {key: sum(values) / len(values) for key, values in found.items()}


def _output_moment(call: Call, given: list[float], calls: Sequence[Call]) -> float:
    """Second moment of the output of a call."""
    operation = call.operation
    kind = type(operation).__name__
    before = given[0] if given else 1.0
    if isinstance(operation, NORMALIZERS):
        return 1.0
    if isinstance(operation, keras.layers.Activation):
        return _after(operation.activation, before)
    if isinstance(operation, ACTIVATIONS):
        return _after(operation, before)
    if kind in ("Add", "Subtract") and len(given) > 1:
        return sum(given)
    if kind == "Average":
        return sum(given) / len(given) ** 2
    if kind == "Multiply" and len(given) > 1:
        return math.prod(given)
    if kind == "Concatenate":
        widths = [calls[parent].shape[-1] or 1 for parent in call.parents]
        total = sum(m * width for m, width in zip(given, widths, strict=True))
        return total / sum(widths)
    if isinstance(operation, keras.layers.Wrapper):
        operation = operation.layer
    if name_of(operation) is not None:
        gated = hasattr(operation, "recurrent_activation")
        return 1.0 if gated else _after(getattr(operation, "activation", None), 1.0)
    if not isinstance(operation, keras.Layer) and len(given) == 1:
        return _after(operation, before)
    return before


def _after(activation: Any, variance: float) -> float:
    """Second moment after an activation; unchanged if it is not element-wise."""
    try:
        return max(moments(activation, variance)[1], 1e-12)
    except (TypeError, ValueError):
        return variance


def initialize(
    model: keras.Layer,
    activation: Activation = None,
    *,
    mode: str = "fan_in",
    distribution: str = "truncated_normal",
    seed: int | None = None,
) -> Initialization:
    """Draw new kernels for a whole model, in place, so that variance is preserved.

    An initializer does not know the layer that it is used for; this function goes
    through the layers and does. Each kernel gets the fans that are right for its layer,
    and a gain for the operations that its inputs have passed through, read from the
    graph: the gain of the activation before it, 1 after a normalization, and the sum of
    second moments at an addition. Inputs of the model should have mean 0 and variance
    1. Every kernel has its own stream of random numbers, so no two kernels are equal
    with one seed. Recurrent kernels are made orthogonal gate by gate; biases, gains of
    normalization layers, frozen weights and those of unknown layers stay as they are.
    The state of the optimizer stays too, so call this function before training.

    Layers that are not built have no kernels yet; they are drawn in the same way when
    the layers are built, by `fit` or by a first call. In a Sequential that is not
    built, the order of its layers takes the place of the graph, and a seed gives the
    same kernels as in the built model. The layers keep their initializers, also in
    files.

    Args:
        model: `keras.Model` or `keras.Layer`, built or not.
        activation: Str, function or None. A function whose gain is used everywhere.
            None reads the graph and, if there is no graph (in subclassed models and
            layers), takes each layer's own activation.
        mode: Str. `"fan_in"`, `"fan_out"` or `"fan_avg"`.
        distribution: Str. `"truncated_normal"`, `"untruncated_normal"`, `"uniform"` or
            `"orthogonal"`.
        seed: Int >= 0 or None. None takes a seed from Python's random state.

    Returns:
        `Initialization`, which says what was done; print it to read it.

    Raises:
        TypeError: If `model` is not a layer, or `seed` is not an int.
        ValueError: If `model` is built and has no weights, or an option is unknown.
            The model is then unchanged.

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
    given_seed = checked_seed(owner, seed, REMEDY)
    if not isinstance(model, keras.Layer):
        raise TypeError(message(owner, "model", "a Keras model or layer", model))
    if not model.variables and is_built(model):
        remedy = "Give one that has layers with kernels."
        raise ValueError(message(owner, "model", "with weights", model.name, remedy))
    reach = {} if activation is not None else input_moments(model)
    constant = None if activation is None else gain_of(owner, activation, False)
    stream = started(owner, given_seed)
    done, values, left = [], [], []
    for layer, role, variable in _weights(model):
        shape, dtype = tuple(variable.shape), variable.dtype
        reason = _reason_to_leave(layer, role, shape, dtype)
        if reason != "quantized" and not (variable.trainable and layer.trainable):
            reason = "frozen"
        if reason:
            left.append(f"{variable.path}: {reason}")
            continue
        chosen = _gain_of(layer, role, constant, reach)
        seed = _next_seed(stream)
        value, row = _drawn(layer, role, variable, distribution, chosen, mode, seed)
        values.append((variable, value))
        done.append(row)

    def choose(
        layers: tuple[keras.Layer, ...], role: str, shape: tuple[int, ...], dtype: str
    ) -> Callable[[], Any] | None:
        layer = layers[-1]
        frozen = not all(each.trainable for each in layers)
        if role not in ROLES or frozen or _reason_to_leave(layer, role, shape, dtype):
            return None

        seed = _next_seed(stream)

        def draw() -> Any:
            reached = _reached(layers, reach)
            known = {} if reached is None else {id(layer): reached}
            chosen = _gain_of(layer, role, constant, known)
            weights = _Weights(f"{layer.name}/{role}", shape)
            return _drawn(layer, role, weights, distribution, chosen, mode, seed)[0]

        return draw

    later = [each.name for each in initialize_later(model, choose) if _may_draw(each)]
    for variable, value in values:
        variable.assign(as_tensor(value, variable.dtype))
    return Initialization(tuple(done), tuple(left), tuple(later))


def _reached(layers: tuple[keras.Layer, ...], reach: dict[int, float]) -> float | None:
    """Second moment of the inputs of a layer, or of the Keras layer it is part of."""
    *around, layer = layers
    if id(layer) in reach:
        return reach[id(layer)]
    for each in reversed(around):
        if id(each) in reach and type(each).__module__.startswith("keras."):
            return 1.0 if layer.name == AFTER_ATTENTION else reach[id(each)]
    return None


@dataclass(frozen=True)
class _Weights:
    """The properties of weights that are known before they are made."""

    path: str
    shape: tuple[int, ...]


def _may_draw(layer: keras.Layer) -> bool:
    """Whether a layer that is not built may get a kernel."""
    if not type(layer).__module__.startswith("keras."):
        return True
    names = [name.lstrip("_") for name in vars(layer)]
    roles = [role.removesuffix("_kernel") for role in ROLES]
    return any(f"{role}_initializer" in names for role in roles)


def _next_seed(stream: Seed) -> int:
    return int(stream.generator(place="").integers(2**31))


def _drawn(
    layer: keras.Layer,
    role: str,
    variable: Any,
    distribution: str,
    chosen_gain: float,
    mode: str,
    seed: int,
) -> tuple[np.ndarray, InitializedWeights]:
    """New values for some weights of a layer, and the record of them."""
    known = layer if name_of(layer) is not None else None
    settings = settings_for("initialize", known, role, None, None)
    kernel = kernel_of(tuple(variable.shape), **settings)
    scaling: dict[str, Any] = {"gain": chosen_gain, "mode": mode}
    if distribution == "orthogonal" or role == "recurrent_kernel":
        initializer: FanScaling = ScaledOrthogonal(**settings, **scaling)
    else:
        initializer = FanScaling(distribution=distribution, **settings, **scaling)
    values = initializer.draw(kernel, Seed(seed).generator(place=""))
    deviation = initializer.gain * initializer.fan(kernel) ** -0.5
    return values, InitializedWeights(
        variable.path, *kernel.fans, initializer.gain, deviation
    )


def _weights(model: keras.Layer) -> Iterator[tuple[keras.Layer, str, Any]]:
    """Layer, role and variable of everything that may be a kernel, each once."""
    seen: set[int] = set()
    for layer, held in layers_of(model):
        for role, variable in held.items():
            if role in ROLES and id(variable) not in seen:
                seen.add(id(variable))
                yield layer, role, variable


def _reason_to_leave(
    layer: keras.Layer, role: str, shape: tuple[int, ...], dtype: str
) -> str:
    """The reason why weights stay as they are; empty if they do not."""
    if not keras.backend.is_float_dtype(dtype):
        return "quantized"
    if len(shape) < 2:
        return "no kernel"
    if name_of(layer) is None and role == "kernel" and len(shape) > 2:
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
