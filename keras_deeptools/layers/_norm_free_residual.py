"""Residual blocks that do not need normalization, and the initializer of Fixup."""

from typing import Any

import keras

from keras_deeptools._arguments import (
    checked_count,
    checked_option,
    checked_seed,
    message,
    spawned_seeds,
)
from keras_deeptools.layers._layer_scale import LayerScale
from keras_deeptools.layers._scalar_bias import ScalarBias
from keras_deeptools.layers._scaled_activation import ScaledActivation
from keras_deeptools.layers._scaled_ws_conv2d import ScaledWSConv2D
from keras_deeptools.layers._self_normalizing_residual import Residual
from keras_deeptools.layers._skip_init import SkipInit

OWNER = "norm_free_block"
SCHEMES = ("skip_init", "layer_scale", "fixup")
FIXUP = "fixup_initializer"


@keras.saving.register_keras_serializable(package="keras_deeptools")
class NormFreeResidual(Residual):
    """A branch of layers beside a skip, with a learned scale: `x + scale(f(x))`.

    The scale starts at or near zero, so the block starts as the identity (or the
    projection), whatever the depth. Batch normalization does the same for residual
    networks, but at a cost, and it makes the samples of a batch depend on each other.
    Any branch can be used; `norm_free_block` makes convolutional ones.

    Args:
        branch: A layer, or a list of layers that are applied one after another.
        scale: Layer that scales the branch's outputs, such as `LayerScale()`. None
            takes `SkipInit()`.
        projection: Layer for the skip. None takes the identity or, if the branch
            changes the shape, a linear projection with LeCun normal weights (dense, or
            a convolution of kernel size 1 with the branch's stride).
        **kwargs: As for every Keras layer, such as `name` and `dtype`.

    Call arguments:
        inputs: Tensor `(batch, ...)`.
        training: Bool. Passed on to the branch.

    Returns:
        Tensor of the branch's output shape.

    Raises:
        ValueError: When built: if no projection results in the branch's output shape.
        TypeError: If an argument is of the wrong type.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.layers import NormFreeResidual
    >>> block = NormFreeResidual([keras.layers.Dense(8, "relu"), keras.layers.Dense(3)])
    >>> x = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    >>> bool((keras.ops.convert_to_numpy(block(x)) == x).all())
    True

    Reference:
        De & Smith, 2020, section 3. https://arxiv.org/abs/2002.10444
    """

    def __init__(
        self,
        branch: keras.Layer | list[keras.Layer],
        scale: keras.Layer | None = None,
        projection: keras.Layer | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(branch, projection, **kwargs)
        if scale is not None and not isinstance(scale, keras.Layer):
            rule = "a layer or None"
            raise TypeError(message(type(self).__name__, "scale", rule, scale))
        if scale is None:
            scale = SkipInit(dtype=self.dtype_policy, name="skip_init")
        self.scale = scale

    def build(self, input_shape: Any) -> None:
        """Builds the branch, its scale and, where needed, the projection."""
        if not self.scale.built:
            self.scale.build(self.compute_output_shape(input_shape))
        super().build(input_shape)

    def join(self, skip: Any, outputs: Any) -> Any:
        """Returns the sum of the skip and the scaled branch."""
        return skip + self.scale(outputs)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, with layers in serialized form."""
        scale = keras.saving.serialize_keras_object(self.scale)
        return super().get_config() | {"scale": scale}


def norm_free_block(
    filters: int,
    kernel_size: int | tuple[int, int] = 3,
    strides: int | tuple[int, int] = 1,
    activation: Any = "relu",
    scheme: str = "skip_init",
    num_blocks: int | None = None,
    seed: int | None = None,
    **kwargs: Any,
) -> NormFreeResidual:
    """Two convolutions with a skip, in place of a block with batch normalization.

    Activations come before weights, as in ResNet v2. With `"skip_init"` and
    `"layer_scale"` the convolutions are `ScaledWSConv2D` and activations have variance
    1; with `"fixup"` they are Keras' own with Fixup's initialization, scalar biases
    and multiplier.

    Args:
        filters: Int >= 1. Output channels; if their number differs from that of the
            inputs, or `strides` is not 1, the skip is a projection.
        kernel_size: Int >= 1 or tuple of two ints. Taps of both kernels.
        strides: Int >= 1 or tuple of two ints. Step of the first convolution.
        activation: Name of a Keras activation, or an elementwise function.
        scheme: `"skip_init"`, `"layer_scale"` or `"fixup"`. How the branch is scaled.
        num_blocks: Int >= 1, number of residual branches in the whole network; for
            `"fixup"` only.
        seed: Int >= 0 or None. Fixes the initial kernels, which are different in each
            layer of the block.
        **kwargs: Arguments of the residual layer, such as `name` and `dtype`.

    Returns:
        `NormFreeResidual`, a layer from `(batch, height, width, channels)` to
        `(batch, new_height, new_width, filters)`; with channels first if Keras is
        configured so.

    Raises:
        ValueError: If an argument is out of range, or `num_blocks` is missing with
            `"fixup"` or given with another scheme.
        TypeError: If an argument is of the wrong type.

    Example:

    >>> import keras
    >>> from keras_deeptools.layers import norm_free_block
    >>> blocks = [norm_free_block(16), norm_free_block(32, strides=2)]
    >>> keras.Sequential([keras.Input((8, 8, 16)), *blocks]).output_shape
    (None, 4, 4, 32)

    Reference:
        De & Smith, 2020. https://arxiv.org/abs/2002.10444; Brock et al., 2021.
        https://arxiv.org/abs/2101.08692; Touvron et al., 2021.
        https://arxiv.org/abs/2103.17239; Zhang et al., 2019.
        https://arxiv.org/abs/1901.09321
    """
    checked_option(OWNER, "scheme", scheme, SCHEMES)
    if (num_blocks is None) == (scheme == "fixup"):
        rule = 'given with scheme="fixup", and with no other'
        remedy = "It is the number of residual branches in the whole net."
        raise ValueError(message(OWNER, "num_blocks", rule, num_blocks, remedy))
    seeds = spawned_seeds(OWNER, seed, 3)
    dtype = {"dtype": kwargs["dtype"]} if "dtype" in kwargs else {}
    shared: dict[str, Any] = dict(kernel_size=kernel_size, padding="same", **dtype)
    if num_blocks is not None:
        branch = [
            ScalarBias(**dtype),
            keras.layers.Activation(activation, **dtype),
            ScalarBias(**dtype),
            keras.layers.Conv2D(
                filters,
                strides=strides,
                use_bias=False,
                kernel_initializer=fixup_initializer(num_blocks, seed=seeds[0]),
                **shared,
            ),
            ScalarBias(**dtype),
            keras.layers.Activation(activation, **dtype),
            ScalarBias(**dtype),
            keras.layers.Conv2D(
                filters, use_bias=False, kernel_initializer="zeros", **shared
            ),
        ]
        return NormFreeResidual(branch, SkipInit(1.0, **dtype), **kwargs)
    first, second = map(keras.initializers.LecunNormal, seeds[:2])
    branch = [
        ScaledActivation(activation, **dtype),
        ScaledWSConv2D(
            filters,
            strides=strides,
            activation=activation,
            kernel_initializer=first,
            **shared,
        ),
        ScaledWSConv2D(filters, kernel_initializer=second, **shared),
    ]
    channel_axis = -1 if keras.config.image_data_format() == "channels_last" else 1
    scale = SkipInit(**dtype)
    if scheme == "layer_scale":
        scale = LayerScale(axis=channel_axis, **dtype)
    return NormFreeResidual(branch, scale, **kwargs)


def fixup_initializer(
    num_blocks: int, num_layers: int = 2, seed: int | None = None
) -> keras.initializers.VarianceScaling:
    """He normal, times `num_blocks ** (-1 / (2 * num_layers - 2))`.

    It is meant for all weight layers of a residual branch except the last, which starts
    at zero. An update then changes the network's output by an amount that does not grow
    with depth, without normalization. `norm_free_block(scheme="fixup")` uses it.

    Args:
        num_blocks: Int >= 1. Number of residual branches in the whole network.
        num_layers: Int >= 2. Number of weight layers in each branch.
        seed: Int >= 0 or None. Layers with the same seed start with equal weights.

    Returns:
        `keras.initializers.VarianceScaling`.

    Raises:
        ValueError: If an argument is out of range.
        TypeError: If an argument is not an integer.

    Example:

    >>> from keras_deeptools.layers import fixup_initializer
    >>> fixup_initializer(num_blocks=16).scale
    0.125

    Reference:
        Zhang et al., 2019, section 3. https://arxiv.org/abs/1901.09321
    """
    blocks = checked_count(FIXUP, "num_blocks", num_blocks)
    layers = checked_count(FIXUP, "num_layers", num_layers, 2)
    return keras.initializers.VarianceScaling(
        scale=2 * blocks ** (-1 / (layers - 1)),
        mode="fan_in",
        distribution="untruncated_normal",
        seed=checked_seed(FIXUP, seed),
    )
