"""Convolutions that keep mean and variance."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_deeptools._arguments import message
from keras_deeptools._shared_docs import delegates, shared_docs
from keras_deeptools.layers._self_normalizing_dense import (
    OF_WEIGHTS,
    WEIGHTS,
    SelfNormalizing,
)


def edge_gain(
    size: Any, kernel_size: int, stride: int, dilation: int, causal: bool
) -> Any:
    """The factor by position that keeps the variance of a zero-padded convolution.

    Near an edge only `r` of the kernel's `k` taps along an axis fall on data. With
    independent weights of mean 0 the variance there is `r / k` of that in the interior,
    whatever the data, so `sqrt(k / r)` restores it exactly; the factors of several axes
    are multiplied.

    Args:
        size: Int or scalar tensor. Length of the input along the axis.
        kernel_size: Int. Taps along the axis.
        stride: Int. Step between outputs.
        dilation: Int. Step between taps.
        causal: Bool. Whether all padding is in front; otherwise it is "same" padding.

    Returns:
        Float32 tensor `(ceil(size / stride),)`, 1 in the interior.
    """
    reach = (kernel_size - 1) * dilation
    length = (size + stride - 1) // stride
    front = reach
    if not causal:
        front = ops.maximum((length - 1) * stride + reach + 1 - size, 0) // 2
    first = ops.arange(length) * stride - front
    taps = ops.expand_dims(first, 1) + dilation * ops.arange(kernel_size)
    real = ops.sum(ops.logical_and(taps >= 0, taps < size), axis=1)
    return ops.sqrt(kernel_size / ops.cast(ops.maximum(real, 1), "float32"))


def reflection_padded(x: Any, axis: int, front: int, back: int) -> Any:
    """`x` with `front` and `back` more entries along `axis`, mirrored at its ends.

    The entries at the ends themselves are not repeated. The mirrored taps carry data,
    so the convolution's variance at the edges is the same as in the interior.

    Args:
        x: Tensor.
        axis: Int >= 0.
        front: Int in [0, length of the axis).
        back: Int in [0, length of the axis).
    """
    before = (slice(None),) * axis
    length = ops.shape(x)[axis]
    mirrored = [
        ops.flip(x[(*before, slice(1, front + 1))], axis=axis),
        x,
        ops.flip(x[(*before, slice(length - 1 - back, length - 1))], axis=axis),
    ]
    return ops.concatenate(mirrored, axis=axis)


def same_padding(
    size: int, kernel_size: int, stride: int, dilation: int
) -> tuple[int, int]:
    """Entries before and after that make the output `ceil(size / stride)` long."""
    length = -(-size // stride)
    total = max((length - 1) * stride + (kernel_size - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


def along(vector: Any, axis: int, rank: int) -> Any:
    """`vector` as a tensor of `rank` axes that varies along `axis` only."""
    return ops.reshape(vector, [-1 if i == axis else 1 for i in range(rank)])


def spatial_axes(rank: int, data_format: str) -> Sequence[int]:
    """The axes of positions in a batch of `rank`-dimensional feature maps."""
    first = 1 if data_format == "channels_last" else 2
    return range(first, first + rank)


class SelfNormalizingConv(SelfNormalizing):
    """LeCun normal, SELU, AlphaDropout and edges of full variance, for a convolution.

    It is put before `keras.layers.Conv1D`, `Conv2D` or `Conv3D` as a base class.
    """

    @delegates(keras.layers.Conv2D.__init__, *OF_WEIGHTS)
    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, ...],
        strides: int | tuple[int, ...] = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | tuple[int, ...] = 1,
        groups: int = 1,
        rate: float = 0.0,
        *,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        reflects = padding == "reflect"
        kwargs |= {
            "filters": filters,
            "kernel_size": kernel_size,
            "strides": strides,
            "padding": "same" if reflects else padding,
            "data_format": data_format,
            "dilation_rate": dilation_rate,
            "groups": groups,
        }
        super().__init__(rate, seed, **kwargs)
        self.reflects = reflects

    def build(self, input_shape: Any) -> None:
        """Creates the weights; raises if inputs are too small for reflection."""
        for axis, front, back in self._reflections(input_shape):
            if max(front, back) >= input_shape[axis]:
                raise ValueError(
                    message(
                        type(self).__name__,
                        "padding",
                        'less than the input is long to be "reflect"',
                        "reflect",
                        f"It takes {max(front, back)} entries of axis {axis}, and the "
                        f'input is {tuple(input_shape)}. Give padding="same".',
                    )
                )
        super().build(input_shape)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Convolves `inputs` and applies SELU and AlphaDropout."""
        outputs = self.convolution_op(inputs, self.kernel)
        if self.use_bias:
            channel = -1 if self.data_format == "channels_last" else 1
            rank = len(outputs.shape)
            outputs = outputs + along(self.bias, channel % rank, rank)
        return self.dropout(self.activation(outputs), training=training)

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """Convolves so that the variance at the edges is that of the interior."""
        sizes = ops.shape(inputs)
        axes = spatial_axes(self.rank, self.data_format)
        padding = self.padding
        if self.padding == "causal":
            front = self.dilation_rate[0] * (self.kernel_size[0] - 1)
            widths = [(front if axis in axes else 0, 0) for axis in range(3)]
            inputs, padding = ops.pad(inputs, widths), "valid"
        if self.reflects:
            padding = "valid"
            for axis, front, back in self._reflections(sizes):
                inputs = reflection_padded(inputs, axis, front, back)
        outputs = ops.conv(
            inputs,
            kernel,
            strides=list(self.strides),
            padding=padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )
        if self.reflects or self.padding == "valid":
            return outputs
        causal = self.padding == "causal"
        for axis, window in zip(axes, self._windows(), strict=True):
            gain = edge_gain(sizes[axis], *window, causal)
            gain = ops.cast(gain, outputs.dtype)
            outputs = outputs * along(gain, axis, self.rank + 2)
        return outputs

    def _windows(self) -> list[tuple[int, int, int]]:
        """Kernel size, stride and dilation of each spatial axis."""
        parts = (self.kernel_size, self.strides, self.dilation_rate)
        return list(zip(*parts, strict=True))

    def _reflections(self, shape: Any) -> list[tuple[int, int, int]]:
        """Axis, entries before and entries after, for each padded axis."""
        if not self.reflects:
            return []
        axes = spatial_axes(self.rank, self.data_format)
        for axis in axes:
            if not isinstance(shape[axis], int):
                raise ValueError(
                    message(
                        type(self).__name__,
                        "padding",
                        '"same" or "valid" for inputs of unknown size',
                        "reflect",
                        f"The input is {tuple(shape)}. Give the sizes in `Input`.",
                    )
                )
        found = [
            (axis, *same_padding(shape[axis], *window))
            for axis, window in zip(axes, self._windows(), strict=True)
        ]
        return [(axis, front, back) for axis, front, back in found if front + back]

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        padding = "reflect" if self.reflects else self.padding
        return super().get_config() | {"padding": padding}


described = shared_docs(
    padding="""\
padding: `"valid"`, `"same"` (zeros; outputs with `r` of `k` taps on data are
    multiplied by `sqrt(k / r)`) or `"reflect"` (mirrored data, output sizes as for
    `"same"`; needs inputs of known size).
""",
    data_format="""\
data_format: `"channels_last"` or `"channels_first"`. None takes Keras' setting.
""",
    groups_to_kwargs=f"""\
groups: Int >= 1. Groups of channels that are convolved separately.
rate: Float in [0, 1). Fraction of the outputs that AlphaDropout sets to the
    negative saturation value in training.
seed: Int >= 0 or None. Fixes the initial kernel and the dropout masks.
{WEIGHTS}**kwargs: As for every Keras layer, such as `name` and `dtype`.
""",
    errors="""\
Raises:
    ValueError: If an argument is out of range. When built: if `"reflect"` would
        need more data than there are, or if inputs are of unknown size.
    TypeError: If an argument is of the wrong type.
""",
    reference="""\
Reference:
    Klambauer et al., 2017, section 2. https://arxiv.org/abs/1706.02515
    (dense layers only; the treatment of edges is not from the paper)
""",
)
"""Fills in what the docstrings of all three convolutions say."""


@described
@keras.saving.register_keras_serializable(package="keras_deeptools")
class SelfNormalizingConv1D(SelfNormalizingConv, keras.layers.Conv1D):
    """A convolution over sequences that keeps mean 0 and variance 1, also at the edges.

    The kernel is LeCun normal, followed by SELU and AlphaDropout, as in
    `SelfNormalizingDense`. Plain zero padding loses variance at the edges (a third for
    three taps), layer after layer; here `padding="same"` restores it by a factor for
    the taps that fall outside, and `"reflect"` pads with mirrored data.

    Args:
        filters: Int >= 1. Number of output channels.
        kernel_size: Int >= 1 or tuple of one int. Taps of the kernel.
        strides: Int >= 1 or tuple of one int. Step between outputs.
        {{padding}}
            A fourth value is `"causal"` (zeros in front only, with the same factor).
        {{data_format}}
        dilation_rate: Int >= 1 or tuple of one int. Step between taps.
        {{groups_to_kwargs}}

    Call arguments:
        inputs: Tensor `(batch, steps, channels)`, or with channels first, of
            mean 0 and variance 1.
        training: Bool. Whether AlphaDropout is on.

    Returns:
        Tensor `(batch, new_steps, filters)`, or with channels first.

    {{errors}}

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.layers import SelfNormalizingConv1D
    >>> convolve = SelfNormalizingConv1D(64, 3, padding="same", seed=0)
    >>> x = np.random.default_rng(0).normal(size=(64, 9, 32))
    >>> y = keras.ops.convert_to_numpy(convolve(x.astype("float32")))
    >>> corner = y[:, 0].std()
    >>> bool(0.9 < corner < 1.1)
    True

    {{reference}}
    """


@described
@keras.saving.register_keras_serializable(package="keras_deeptools")
class SelfNormalizingConv2D(SelfNormalizingConv, keras.layers.Conv2D):
    """A convolution over images that keeps mean 0 and variance 1, also at the edges.

    The kernel is LeCun normal, followed by SELU and AlphaDropout, as in
    `SelfNormalizingDense`. Plain zero padding loses variance at the edges (over half in
    a corner), layer after layer; here `padding="same"` restores it by a factor for the
    taps that fall outside, and `"reflect"` pads with mirrored data.

    Args:
        filters: Int >= 1. Number of output channels.
        kernel_size: Int >= 1 or tuple of two ints. Taps of the kernel by axis.
        strides: Int >= 1 or tuple of two ints. Step between outputs.
        {{padding}}
        {{data_format}}
        dilation_rate: Int >= 1 or tuple of two ints. Step between taps.
        {{groups_to_kwargs}}

    Call arguments:
        inputs: Tensor `(batch, height, width, channels)`, or with channels first, of
            mean 0 and variance 1.
        training: Bool. Whether AlphaDropout is on.

    Returns:
        Tensor `(batch, new_height, new_width, filters)`, or with channels first.

    {{errors}}

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.layers import SelfNormalizingConv2D
    >>> convolve = SelfNormalizingConv2D(64, 3, padding="same", seed=0)
    >>> x = np.random.default_rng(0).normal(size=(64, 5, 5, 16))
    >>> y = keras.ops.convert_to_numpy(convolve(x.astype("float32")))
    >>> corner = y[:, 0, 0].std()
    >>> bool(0.9 < corner < 1.1)
    True

    {{reference}}
    """


@described
@keras.saving.register_keras_serializable(package="keras_deeptools")
class SelfNormalizingConv3D(SelfNormalizingConv, keras.layers.Conv3D):
    """A convolution over volumes that keeps mean 0 and variance 1, also at the edges.

    The kernel is LeCun normal, followed by SELU and AlphaDropout, as in
    `SelfNormalizingDense`. Plain zero padding loses variance at the edges (over two
    thirds in a corner), layer after layer; here `padding="same"` restores it by a
    factor for the taps that fall outside, and `"reflect"` pads with mirrored data.

    Args:
        filters: Int >= 1. Number of output channels.
        kernel_size: Int >= 1 or tuple of three ints. Taps of the kernel by axis.
        strides: Int >= 1 or tuple of three ints. Step between outputs.
        {{padding}}
        {{data_format}}
        dilation_rate: Int >= 1 or tuple of three ints. Step between taps.
        {{groups_to_kwargs}}

    Call arguments:
        inputs: Tensor `(batch, depth, height, width, channels)`, or with channels
            first, of mean 0 and variance 1.
        training: Bool. Whether AlphaDropout is on.

    Returns:
        Tensor `(batch, new_depth, new_height, new_width, filters)`, or with channels
        first.

    {{errors}}

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.layers import SelfNormalizingConv3D
    >>> convolve = SelfNormalizingConv3D(64, 3, padding="same", seed=0)
    >>> x = np.random.default_rng(0).normal(size=(64, 3, 3, 3, 8))
    >>> y = keras.ops.convert_to_numpy(convolve(x.astype("float32")))
    >>> corner = y[:, 0, 0, 0].std()
    >>> bool(0.9 < corner < 1.1)
    True

    {{reference}}
    """
