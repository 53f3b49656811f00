"""Fans by the kind of layer, and the initializer of a layer after an activation."""

from typing import Any

import keras

from keras_deeptools._arguments import checked_option, message
from keras_deeptools.engine._keras_private.versions import layer_classes
from keras_deeptools.initializers._fan_scaling import DISTRIBUTIONS, FanScaling
from keras_deeptools.initializers._gain import gain
from keras_deeptools.initializers._kernel import kernel_of
from keras_deeptools.initializers._scaled_orthogonal import ScaledOrthogonal
from keras_deeptools.statistics._activation_moments import Activation

layers = keras.layers

CLASSES: tuple[tuple[str, tuple[type, ...]], ...] = (
    ("dense", (layers.Dense,)),
    ("conv", (layers.Conv1D, layers.Conv2D, layers.Conv3D)),
    (
        "conv_transpose",
        (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose),
    ),
    ("depthwise_conv", (layers.DepthwiseConv1D, layers.DepthwiseConv2D)),
    ("separable_conv", (layers.SeparableConv1D, layers.SeparableConv2D)),
    ("simple_rnn", (layers.SimpleRNN, layers.SimpleRNNCell)),
    ("gru", (layers.GRU, layers.GRUCell)),
    ("lstm", (layers.LSTM, layers.LSTMCell)),
    ("conv_lstm", (layers.ConvLSTM1D, layers.ConvLSTM2D, layers.ConvLSTM3D)),
    ("embedding", layer_classes("Embedding", "ReversibleEmbedding")),
    (
        "attention",
        (
            layers.EinsumDense,
            layers.MultiHeadAttention,
            layers.GroupQueryAttention,
        ),
    ),
)
"""Names of the kinds of layers, and Keras' classes of each kind."""

NAMES = tuple(name for name, _ in CLASSES)
GATES = {"simple_rnn": 1, "gru": 3, "lstm": 4, "conv_lstm": 4}
ROLES = (
    "kernel",
    "recurrent_kernel",
    "depthwise_kernel",
    "pointwise_kernel",
    "embeddings",
    "reverse_embeddings",
)
"""Roles that weights can have in a layer."""


def initializer_for(
    activation: Activation = None,
    layer: str | type[keras.Layer] | keras.Layer | None = None,
    *,
    role: str = "kernel",
    mode: str = "fan_in",
    distribution: str = "truncated_normal",
    centered: bool = False,
    groups: int | None = None,
    strides: int | tuple[int, ...] | None = None,
    seed: int | None = None,
) -> FanScaling:
    """Make the initializer that preserves variance in a layer after an activation.

    The gain belongs to the activation that the layer's inputs have passed through; in a
    network with one activation throughout, that is also the layer's own. With inputs
    N(0, 1) the variance of the layer's outputs is `gain(activation) ** 2`. For a whole
    model that is built already, use `initialize`.

    Args:
        activation: Str, function or None (linear), as for `gain`.
        layer: The layer of the kernel: `"dense"`, `"conv"`, `"conv_transpose"`,
            `"depthwise_conv"`, `"separable_conv"`, `"simple_rnn"`, `"gru"`, `"lstm"`,
            `"conv_lstm"`, `"embedding"`, `"attention"` (also EinsumDense); a Keras
            class such as `keras.layers.Conv2D`; a layer; or None to go by the rank of
            the kernel.
        role: Str. Which weights of the layer: `"kernel"`, `"recurrent_kernel"`,
            `"depthwise_kernel"`, `"pointwise_kernel"`, `"embeddings"`,
            `"reverse_embeddings"`. A separable convolution has two.
        mode: Str. `"fan_in"` keeps the variance of outputs, `"fan_out"` that of
            gradients, `"fan_avg"` is between them.
        distribution: Str. `"truncated_normal"`, `"untruncated_normal"`, `"uniform"` or
            `"orthogonal"`.
        centered: Bool. As for `gain`.
        groups: Int >= 1 or None. Groups of a convolution, if `layer` does not determine
            them.
        strides: Int >= 1, tuple or None. Strides of a convolution, if `layer` does not
            determine them; they matter for transposed convolutions and for `"fan_out"`.
        seed: Int >= 0 or None. As in `FanScaling`.

    Returns:
        `FanScaling`, or `ScaledOrthogonal` for `"orthogonal"`; both are Keras
        initializers that can be saved.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is not one of the allowed values.

    Example:

    >>> import keras
    >>> from keras_deeptools.initializers import initializer_for
    >>> conv = keras.layers.DepthwiseConv2D(
    ...     3, depthwise_initializer=initializer_for("relu", "depthwise_conv"))
    >>> initializer_for("relu", "lstm", distribution="orthogonal").groups
    4

    Reference:
        He et al., 2015, section 2.2. https://arxiv.org/abs/1502.01852
    """
    owner = "initializer_for"
    options = (*DISTRIBUTIONS, "orthogonal")
    checked_option(owner, "role", role, ROLES)
    checked_option(owner, "distribution", distribution, options)
    settings = settings_for(owner, layer, role, groups, strides)
    settings |= {"gain": gain(activation, centered=centered)}
    settings |= {"mode": mode, "seed": seed}
    if distribution == "orthogonal":
        return ScaledOrthogonal(**settings)
    return FanScaling(distribution=distribution, **settings)


def fans(
    shape: tuple[int, ...],
    layer: str | type[keras.Layer] | keras.Layer | None = None,
    *,
    role: str = "kernel",
    groups: int | None = None,
    strides: int | tuple[int, ...] | None = None,
) -> tuple[float, float]:
    """Count the inputs of one output of a layer, and the outputs that use one input.

    Args:
        shape: Tuple of ints. Shape of the kernel.
        layer: As for `initializer_for`.
        role: As for `initializer_for`.
        groups: As for `initializer_for`.
        strides: As for `initializer_for`. A strided convolution uses an input in fewer
            outputs, a transposed one sums over fewer inputs; the fans are averages over
            positions.

    Returns:
        Tuple of two floats, fan-in and fan-out.

    Raises:
        ValueError: If an argument is not one of the allowed values.

    Example:

    >>> from keras_deeptools.initializers import fans
    >>> fans((3, 3, 64, 1), "depthwise_conv")
    (9.0, 9.0)
    >>> fans((3, 3, 16, 64), "conv", groups=4)  # of 64 channels
    (144.0, 144.0)
    >>> fans((4, 4, 8, 32), "conv_transpose", strides=2)
    (128.0, 128.0)
    """
    checked_option("fans", "role", role, ROLES)
    settings: dict[str, Any] = settings_for("fans", layer, role, groups, strides)
    return kernel_of(tuple(shape), **settings).fans


def settings_for(
    owner: str, layer: Any, role: str, groups: int | None, strides: Any
) -> dict[str, Any]:
    """The arguments of `FanScaling` that depend on the layer.

    Args:
        owner: Str. Name of the caller, for errors.
        layer: A name of `NAMES`, a class, a layer, or None for Keras' convention.
        role: Str of `ROLES`.
        groups: Int, or None for those of the layer.
        strides: Int, tuple of ints, or None for those of the layer.

    Returns:
        Dict of `kind`, `groups`, `strides` and, if known, the axes.

    Raises:
        ValueError: If the kind of the layer is not known.
    """
    name = name_of(layer)
    if name is None and layer is not None:
        rule = f"one of {', '.join(NAMES)}, or a Keras layer of such a kind"
        remedy = "Leave it out to go by the shape alone."
        raise ValueError(message(owner, "layer", rule, layer, remedy))
    axes = _einsum_axes(layer, role)
    if groups is None:
        groups = GATES.get(name or "", _own(layer, "groups", 1))
    if strides is None:
        strides = _own(layer, "strides", 1)
    if role == "pointwise_kernel" or role == "recurrent_kernel":
        strides = 1
    return {"kind": _kind(name, role), "groups": groups, "strides": strides, **axes}


def name_of(layer: Any) -> str | None:
    """The name of the kind of a layer or class; None if it is not known."""
    if isinstance(layer, str):
        return layer if layer in NAMES else None
    cls = layer if isinstance(layer, type) else type(layer)
    for name, classes in CLASSES:
        if issubclass(cls, classes):
            return name
    # Keras does not export this class.
    return "conv_lstm" if cls.__name__ == "ConvLSTMCell" else None


def _kind(name: str | None, role: str) -> str | None:
    """The kind of kernel (`KINDS`) that a layer of kind `name` has in `role`."""
    if role == "depthwise_kernel":
        return "depthwise_conv"
    if role == "pointwise_kernel":
        return "conv"
    if role == "reverse_embeddings":
        return "dense"
    if name == "conv_lstm":
        return "conv"
    if name in GATES:
        return "recurrent"
    if name == "separable_conv" or name == "attention":
        return None
    return name


def _own(layer: Any, attribute: str, default: Any) -> Any:
    """An attribute of a layer, or the default for classes and names."""
    if layer is None or isinstance(layer, str | type):
        return default
    return getattr(layer, attribute, default)


def _einsum_axes(layer: Any, role: str) -> dict[str, tuple[int, ...]]:
    """Contracted and free axes of an EinsumDense kernel."""
    if not isinstance(layer, keras.layers.EinsumDense) or role != "kernel":
        return {}
    operands, output = layer.equation.replace(".", "").split("->")
    inputs, kernel = operands.split(",")
    letters = list(enumerate(kernel))
    return {
        "input_axes": tuple(i for i, letter in letters if letter not in output),
        "output_axes": tuple(i for i, letter in letters if letter not in inputs),
    }
