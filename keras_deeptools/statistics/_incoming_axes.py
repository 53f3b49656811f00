"""Which axes of a weight array hold the incoming weights of one unit."""

from collections.abc import Callable

import keras

Axes = tuple[int, ...]

NORMALIZERS = (
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.RMSNormalization,
)
GAINS = (*NORMALIZERS, keras.layers.PReLU)
"""Layers whose weights scale or shift features one by one, whatever their rank."""

DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
CONVOLUTIONS = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    *DEPTHWISE,
    keras.layers.SeparableConv1D,
    keras.layers.SeparableConv2D,
)
TRANSPOSED = (
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)


def incoming_axes(layer: keras.Layer | None, role: str, rank: int) -> Axes | None:
    """Returns the axes over which the norm of one unit's incoming weights is computed.

    The norm is the L2 norm. A unit is one output coordinate: a neuron, a filter, a gate
    of a recurrent cell, a coordinate of an attention head, the vector of a token.

    - Dense; SimpleRNN, LSTM, GRU cells; kernel, recurrent kernel: 0.
    - Conv1D, 2D, 3D, also grouped; ConvLSTM cells; kernels: all but the last.
    - Conv1DTranspose, 2D, 3D; kernel (..., out, in): all but the last but one.
    - DepthwiseConv1D, 2D; kernel (..., in, multiplier): all but the last two.
    - SeparableConv1D, 2D; depthwise kernel: all but the last two.
    - SeparableConv1D, 2D; pointwise kernel: all but the last.
    - EinsumDense, and with it attention; kernel: those not in the output.
    - Embedding; embeddings: 1.
    - ReversibleEmbedding; reverse embeddings (features, tokens): 0.
    - any other; kernel, recurrent kernel: all but the last.

    Args:
        layer: `keras.Layer` that holds the weights itself (an LSTM's cell, not the
            LSTM); None if it is not known, so that a kernel of more than two dimensions
            is ambiguous.
        role: Str. What the weights are in the layer, such as `"kernel"`.
        rank: Int >= 0. Number of dimensions of the weights.

    Returns:
        Tuple of ints in [0, rank), or None if there are no incoming weights: biases,
        weights with fewer than two dimensions, gains of normalization layers.

    Raises:
        ValueError: If the axes cannot be derived from the arguments.

    Example:

    >>> import keras
    >>> from keras_deeptools.statistics import incoming_axes
    >>> incoming_axes(keras.layers.Conv2D(8, 3), "kernel", rank=4)
    (0, 1, 2)
    >>> incoming_axes(keras.layers.Conv2DTranspose(8, 3), "kernel", rank=4)
    (0, 1, 3)
    >>> incoming_axes(keras.layers.EinsumDense("abc,cde->abde", (5, 6)), "kernel", 3)
    (0,)

    Reference:
        Hinton et al., 2012, section 2. https://arxiv.org/abs/1207.0580
    """
    if rank < 2 or role.endswith("bias") or isinstance(layer, GAINS):
        return None
    for kinds, roles in RULES:
        if isinstance(layer, kinds) and role in roles:
            return roles[role](layer, rank)
    ambiguous = layer is None and role == "kernel" and rank > 2
    if role in CONVENTION and not ambiguous:
        return CONVENTION[role](layer, rank)
    raise ValueError(
        "incoming_axes: `role` must be one whose axes are known. Received: "
        f"role={role!r}, rank={rank}, of layer="
        f"{'unknown' if layer is None else type(layer).__name__}."
    )


def _all_but_last(layer: keras.Layer | None, rank: int) -> Axes:
    return tuple(range(rank - 1))


def _all_but_last_two(layer: keras.Layer | None, rank: int) -> Axes:
    return tuple(range(rank - 2))


def _last(layer: keras.Layer | None, rank: int) -> Axes:
    return (rank - 1,)


def _of_transposed(layer: keras.Layer | None, rank: int) -> Axes:
    return (*range(rank - 2), rank - 1)


def _summed_in_equation(layer: keras.Layer, rank: int) -> Axes:
    operands, output = layer.equation.split("->")
    kernel = operands.split(",")[1].replace(".", "")
    return tuple(i for i, letter in enumerate(kernel) if letter not in output)


Rule = Callable[[keras.Layer | None, int], Axes]
Roles = dict[str, Rule]

RULES: list[tuple[type | tuple[type, ...], Roles]] = [
    (keras.layers.EinsumDense, {"kernel": _summed_in_equation}),
    (TRANSPOSED, {"kernel": _of_transposed}),
    (DEPTHWISE, {"kernel": _all_but_last_two}),
]
"""Exceptions from the convention, by the kind of layer."""

CONVENTION: Roles = {
    "kernel": _all_but_last,
    "recurrent_kernel": _all_but_last,
    "depthwise_kernel": _all_but_last_two,
    "pointwise_kernel": _all_but_last,
    "embeddings": _last,
    "reverse_embeddings": _all_but_last,
}
"""The convention of Keras, which the other layers follow."""
