"""The autoencoder that pretrains one layer."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_deeptools._arguments import checked_float, checked_option
from keras_deeptools.engine._graph.tensors import Link
from keras_deeptools.pretraining._encoder import copied, on_host


def decoded(
    layer: keras.Layer, codes: Any, kernel: Any, bias: Any, shape: tuple[int, ...]
) -> Any:
    """Maps the outputs of a layer back to the space of its inputs.

    It applies the transpose of the layer's linear map, for convolutions with the same
    strides and padding, and adds a bias.

    Args:
        layer: `Dense`, `Conv1D` or `Conv2D`, of one group and without dilation.
        codes: Tensor, of the shape of the layer's outputs.
        kernel: Tensor, of the shape of the layer's kernel.
        bias: Tensor `(channels,)`, of the layer's inputs.
        shape: Tuple of ints, the shape of a sample of the layer's inputs.

    Returns:
        Tensor `(batch, *shape)`.
    """
    if isinstance(layer, keras.layers.Dense):
        return ops.matmul(codes, ops.transpose(kernel)) + bias
    full = ops.conv_transpose(
        codes, kernel, layer.strides, padding="valid", data_format=layer.data_format
    )
    first = 1 if layer.data_format == "channels_last" else 2
    rank = len(layer.kernel_size)
    padded, cut = [(0, 0)] * (rank + 2), [slice(None)] * (rank + 2)
    for position in range(rank):
        axis = first + position
        size = shape[axis - 1]
        window, stride = layer.kernel_size[position], layer.strides[position]
        before = _padding_before(size, window, stride, layer.padding)
        padded[axis] = (0, max(0, before + size - full.shape[axis]))
        cut[axis] = slice(before, before + size)
    full = ops.pad(full, padded)[tuple(cut)]
    if first == 2:
        bias = ops.reshape(bias, (-1, *[1] * rank))
    return full + bias


def _padding_before(size: int, window: int, stride: int, padding: str) -> int:
    """Returns how many zeros a convolution puts before its inputs."""
    if padding == "valid":
        return 0
    if padding == "causal":
        return window - 1
    steps = -(-size // stride)
    return max((steps - 1) * stride + window - size, 0) // 2


KINDS = ("masking", "gaussian", "none")


@dataclass(frozen=True)
class Corruption:
    """Noise on the inputs of an autoencoder.

    Args:
        kind: Str. `"masking"` sets elements to zero, `"gaussian"` adds normal noise,
            `"none"` leaves inputs unchanged.
        level: Float. For masking the fraction of elements in [0, 1), for Gaussian
            noise its standard deviation >= 0, in the units of the inputs.
    """

    kind: str
    level: float

    def __call__(self, inputs: Any, seed: keras.random.SeedGenerator) -> Any:
        """Returns the inputs with noise; each call draws new noise from `seed`."""
        if self.kind == "none" or self.level == 0:
            return inputs
        shape = ops.shape(inputs)
        if self.kind == "masking":
            kept = keras.random.uniform(shape, seed=seed) >= self.level
            return inputs * ops.cast(kept, inputs.dtype)
        noise = keras.random.normal(shape, stddev=self.level, seed=seed)
        return inputs + ops.cast(noise, inputs.dtype)


def checked_corruption(owner: str, kind: Any, level: Any) -> Corruption:
    """Returns the noise for `noise` and `noise_level`, or raises an error."""
    kind = checked_option(owner, "noise", kind, KINDS)
    number = checked_float(owner, "noise_level", level, at_least=0)
    if kind == "masking" and number >= 1:
        raise ValueError(
            f"{owner}: `noise_level` must be in [0, 1) for masking noise. Received: "
            f"noise_level={level!r}. Give the fraction of inputs to set to zero."
        )
    return Corruption(kind, number)


class Autoencoder(keras.Model):
    """A layer and its decoder, with their own weights.

    The layer itself is only read: it computes with the autoencoder's weights, which
    start with the layer's values and have its constraints and regularizers.

    Args:
        link: `Link` of a `Dense`, `Conv1D` or `Conv2D`.
        activation: `Link` of an activation that follows it, or None.
        shape: Tuple of ints, the shape of a sample of the inputs.
        tied: Bool. Whether the decoder's kernel is that of the encoder.
        corruption: `Corruption` of the inputs in training.
        seed: Int >= 0, of the noise.
    """

    def __init__(
        self,
        link: Link,
        activation: Link | None,
        shape: tuple[int, ...],
        tied: bool,
        corruption: Corruption,
        seed: int,
    ) -> None:
        layer = link.operation
        super().__init__(name=f"{layer.name}_autoencoder", dtype=layer.dtype_policy)
        self.link, self.activation, self.shape = link, activation, shape
        self.corruption = corruption
        self.noise_seed = keras.random.SeedGenerator(seed)
        self.encoder_weights = [
            copied(self, variable, variable, variable.regularizer)
            for variable in link.variables
        ]
        position = [id(v) for v in link.variables].index(id(layer.kernel))
        self.decoder_kernel = self.encoder_weights[position]
        if not tied:
            self.decoder_kernel = self.add_weight(
                shape=layer.kernel.shape, initializer="glorot_uniform", name="decoder"
            )
        channels_first = getattr(layer, "data_format", None) == "channels_first"
        channels = shape[0 if channels_first else -1]
        self.decoder_bias = self.add_weight(
            shape=(channels,), initializer="zeros", name="decoder_bias"
        )
        self.built = True

    def values(self) -> list[np.ndarray]:
        """Returns the encoder's weights, in the order of the layer's variables."""
        return [on_host(weight) for weight in self.encoder_weights]

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Returns the reconstruction: logits, or values for a squared error."""
        if training:
            inputs = self.corruption(inputs, self.noise_seed)
        weights = [ops.convert_to_tensor(weight) for weight in self.encoder_weights]
        codes = self.link(inputs, weights)
        if self.activation is not None:
            codes = self.activation(codes)
        return decoded(
            self.link.operation,
            codes,
            ops.convert_to_tensor(self.decoder_kernel),
            ops.convert_to_tensor(self.decoder_bias),
            self.shape,
        )
