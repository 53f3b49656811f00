"""The initializer for an activation and a layer."""

import keras

from keras_deeptools._arguments import checked_option
from keras_deeptools.initializers._fan_scaling import DISTRIBUTIONS, FanScaling
from keras_deeptools.initializers._fans import ROLES, settings_for
from keras_deeptools.initializers._gain import gain
from keras_deeptools.initializers._scaled_orthogonal import ScaledOrthogonal
from keras_deeptools.statistics._activation_moments import Activation


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
    """Make the initializer that keeps variance in a layer after an activation.

    The gain belongs to the function that the layer's inputs have been through; in a
    network with one activation throughout, that is also the layer's own. With inputs
    N(0, 1) the variance of the layer's outputs is `gain(activation) ** 2`. For a whole
    model that is built already, `initialize` does all of it.

    Args:
        activation: Str, function or None (linear), as for `gain`.
        layer: What the kernel is for: `"dense"`, `"conv"`, `"conv_transpose"`,
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
        groups: Int >= 1 or None. Groups of a convolution, where `layer` does not say
            it.
        strides: Int >= 1, tuple or None. Strides of a convolution, where `layer` does
            not say it; they count for transposed ones, and for `"fan_out"`.
        seed: Int >= 0 or None. As in `FanScaling`.

    Returns:
        `FanScaling`, or `ScaledOrthogonal` for `"orthogonal"`; both are Keras
        initializers that can be saved.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is none of these.

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
