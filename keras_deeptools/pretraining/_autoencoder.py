"""The autoencoder that pretrains one layer."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_deeptools.engine import Link
from keras_deeptools.pretraining._corruption import Corruption
from keras_deeptools.pretraining._decoder import decoded


class Autoencoder(keras.Model):
    """A layer and its decoder, around weights of its own.

    The layer itself is only read: it computes with the autoencoder's weights, which
    start at its own and have their constraints and regularizers.

    Args:
        link: `Link` of a `Dense`, `Conv1D` or `Conv2D`.
        activation: `Link` of an activation that follows it, or None.
        shape: Tuple of ints, the shape of a row of inputs.
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
        self.encoder_weights = [self._copied(variable) for variable in link.variables]
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

    def _copied(self, variable: Any) -> Any:
        copy = self.add_weight(
            shape=variable.shape,
            initializer="zeros",
            dtype=variable.dtype,
            name=variable.name,
            trainable=variable.trainable,
            regularizer=variable.regularizer,
            constraint=variable.constraint,
        )
        # Through the host: compiled steps reuse the memory of what they train.
        copy.assign(_on_host(variable))
        return copy

    def values(self) -> list[np.ndarray]:
        """The encoder's weights, in the order of the layer's variables."""
        return [_on_host(weight) for weight in self.encoder_weights]

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The reconstruction: logits, or values where the loss is squared error."""
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


def _on_host(variable: Any) -> np.ndarray:
    return np.array(ops.convert_to_numpy(variable.value))
