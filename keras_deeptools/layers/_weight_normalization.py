"""Weight normalization: length and direction of a unit's weights are trained apart."""

from typing import Any

import keras
from keras import ops

from keras_deeptools._arguments import checked_model, message
from keras_deeptools.engine._data.checks import checked_batch
from keras_deeptools.engine._keras_private.layers import flat_layers
from keras_deeptools.engine._patching import replaced
from keras_deeptools.statistics._incoming_axes import incoming_axes

EPSILON = 1e-12
"""Least squared length of a direction."""


@keras.saving.register_keras_serializable(package="keras_deeptools")
class WeightNormalization(keras.layers.Wrapper):
    """Trains the length and the direction of each unit's weights separately.

    The kernel that the wrapped layer uses is `gain * v / |v|`, with one learned `gain`
    for each unit and `v` in place of its kernel. The gradient of the direction is then
    orthogonal to it, and steps scale themselves; unlike batch normalization, nothing
    depends on the batch, so that it suits small batches, recurrent and generative
    models. At first the gain is `|v|`, so wrapping changes no output;
    `initialize_weight_normalization` sets gains and biases from data, as in the paper.

    Args:
        layer: `keras.Layer` with a `kernel`: dense, `EinsumDense`, convolutions of
            every kind but separable ones. Its regularizer and constraint act on `v`.
        **kwargs: As for every Keras layer, such as `name`, `dtype` and
            `activity_regularizer`.

    Call arguments:
        inputs: Tensor, as the wrapped layer takes it.

    Returns:
        Tensor, the wrapped layer's output.

    Raises:
        TypeError: If `layer` is not a layer.
        ValueError: If `layer` has an activity regularizer, or, when built, no kernel.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.layers import WeightNormalization
    >>> dense = keras.layers.Dense(2, kernel_initializer="ones")
    >>> layer = WeightNormalization(dense)
    >>> y = layer(np.ones((1, 4), "float32"))
    >>> keras.ops.convert_to_numpy(y).tolist(), layer.gain.numpy().tolist()
    ([[4.0, 4.0]], [2.0, 2.0])

    Reference:
        Salimans & Kingma, 2016, section 2. https://arxiv.org/abs/1602.07868
    """

    def __init__(self, layer: keras.Layer, **kwargs: Any) -> None:
        owner = type(self).__name__
        if not isinstance(layer, keras.Layer):
            raise TypeError(message(owner, "layer", "a `keras.Layer`", layer))
        if layer.activity_regularizer is not None:
            rule = "a layer without `activity_regularizer`"
            remedy = "Give it to WeightNormalization."
            raise ValueError(message(owner, "layer", rule, layer.name, remedy))
        super().__init__(layer, **kwargs)
        self.supports_masking = layer.supports_masking
        self.starts_from_data = False

    def build(self, input_shape: Any = None) -> None:
        """Creates the wrapped layer's weights and the gains."""
        super().build(input_shape)
        kernel = getattr(self.layer, "kernel", None)
        if kernel is None:
            rule = "a layer with a `kernel`"
            raise ValueError(
                message(type(self).__name__, "layer", rule, self.layer.name)
            )
        rank = len(kernel.shape)
        self.axes = incoming_axes(self.layer, "kernel", rank) or ()
        self.gain = self.add_weight(
            name="gain",
            shape=tuple(kernel.shape[i] for i in range(rank) if i not in self.axes),
            initializer=lambda shape, dtype=None: ops.cast(self._length()[0], dtype),
        )

    def _length(self) -> tuple[Any, Any]:
        """The lengths of the directions, and the directions, in float32."""
        v = ops.cast(self.layer.kernel, "float32")
        squares = ops.sum(ops.square(v), axis=self.axes)
        return ops.sqrt(ops.maximum(squares, EPSILON)), v

    def normalized_kernel(self, gain: Any = None) -> Any:
        """Returns the kernel that the wrapped layer uses.

        Args:
            gain: Tensor that replaces `gain`, or None.
        """
        length, v = self._length()
        gain = ops.cast(self.gain if gain is None else gain, "float32")
        return v * ops.expand_dims(gain / length, self.axes)

    def call(self, inputs: Any, **kwargs: Any) -> Any:
        """Calls the wrapped layer with the normalized kernel."""
        if self.starts_from_data:
            self._start(inputs)
        return self._with_weights(self.normalized_kernel(), None, inputs, **kwargs)

    def _with_weights(self, kernel: Any, bias: Any, *args: Any, **kwargs: Any) -> Any:
        """Calls the wrapped layer with other weights than its own."""
        given = {id(self.layer.kernel): kernel}
        if bias is not None:
            given[id(self.layer.bias)] = bias
        mapping = [
            (variable, ops.cast(given.get(id(variable), variable), variable.dtype))
            for variable in self.layer.variables
        ]
        with keras.StatelessScope(state_mapping=mapping):
            return self.layer(*args, **kwargs)

    def _start(self, inputs: Any) -> None:
        """Sets gain and bias so that each unit's output has mean 0 and variance 1."""
        self.starts_from_data = False
        layer = self.layer
        bias = getattr(layer, "bias", None)
        kernel = self.normalized_kernel(ops.ones(self.gain.shape))
        no_bias = None if bias is None else ops.zeros(bias.shape)
        with replaced(layer, "activation", keras.activations.linear):
            outputs = self._with_weights(kernel, no_bias, inputs)
        first = getattr(layer, "data_format", None) == "channels_first"
        rank = len(outputs.shape)
        axis = 1 if first else rank - 1
        others = tuple(i for i in range(rank) if i != axis)
        mean, variance = ops.moments(ops.cast(outputs, "float32"), others)
        scale = ops.rsqrt(variance + EPSILON)
        self.gain.assign(ops.reshape(scale, self.gain.shape))
        if bias is not None:
            bias.assign(ops.reshape(-mean * scale, bias.shape))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Returns the wrapped layer's output shape."""
        return self.layer.compute_output_shape(input_shape)


OWNER = "initialize_weight_normalization"


def initialize_weight_normalization(model: keras.Model, x: Any) -> int:
    """Sets gains and biases so that units begin with mean 0 and variance 1 on data.

    The model is run once on a batch. Each `WeightNormalization` sets its gain to
    `1 / s` and the bias of its layer to `-m / s`, where `m` and `s` are mean and
    standard deviation of the unit's output before the activation, when the batch
    reaches it: after all layers before it. Call it on a new model, before `fit`;
    nothing else changes. Layers without a bias get the gain only.

    Args:
        model: `keras.Model` with `WeightNormalization` layers, also nested or of a
            class of its own.
        x: Inputs as for `fit`: arrays, a `tf.data.Dataset`, `PyDataset`, torch
            `DataLoader` or generator, of which a batch is read. A hundred samples and
            more are enough.

    Returns:
        Int, the number of layers that were initialized.

    Raises:
        TypeError: If `model` is not a Keras model, or Keras does not take the data.
        ValueError: If the model has no such layer, or the data do not fit.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.layers import (
    ...     WeightNormalization, initialize_weight_normalization
    ... )
    >>> dense = WeightNormalization(keras.layers.Dense(4))
    >>> model = keras.Sequential([keras.Input((3,)), dense])
    >>> x = np.random.default_rng(0).normal(2.0, 5.0, size=(256, 3))
    >>> initialize_weight_normalization(model, x)
    1
    >>> y = model.predict(x, verbose=0)
    >>> bool(np.allclose(y.mean(0), 0, atol=1e-4)), bool(np.allclose(y.std(0), 1))
    (True, True)

    Reference:
        Salimans & Kingma, 2016, section 3. https://arxiv.org/abs/1602.07868
    """
    checked_model(OWNER, model)
    batch = checked_batch(OWNER, model, x)
    layers = [
        each for each in flat_layers(model) if isinstance(each, WeightNormalization)
    ]
    if not layers:
        rule = "a model with layers of the class WeightNormalization"
        raise ValueError(message(OWNER, "model", rule, model.name))
    for layer in layers:
        layer.starts_from_data = True
    try:
        for network in batch.networks:
            network(batch.x, training=False)
        return sum(not layer.starts_from_data for layer in layers)
    finally:
        for layer in layers:
            layer.starts_from_data = False
