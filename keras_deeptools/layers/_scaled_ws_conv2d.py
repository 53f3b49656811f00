"""A convolution with scaled weight standardization."""

import math
from typing import Any

import keras
from keras import ops

from keras_deeptools._shared_docs import delegates
from keras_deeptools.layers._self_normalizing_dense import OF_WEIGHTS
from keras_deeptools.statistics._activation_moments import gain_of

EPSILON = 1e-8


@keras.saving.register_keras_serializable(package="keras_deeptools")
class ScaledWSConv2D(keras.layers.Conv2D):
    """A 2D convolution whose kernel has mean 0 and variance 1 / fan-in at every step.

    Each filter is standardized when it is used, `(W - mean) / (std * sqrt(N))` over the
    `N` weights of its fan-in, then multiplied by its own learned gain. So a network
    without batch normalization has no shift of means, and unit variance for inputs of
    unit variance, during all of training. The activation is multiplied by the gain that
    gives its output variance 1 (1.7129 for ReLU), so that such layers can be stacked.

    Args:
        filters: Int >= 1. Number of output channels.
        kernel_size: Int >= 1 or tuple of two ints. Taps of the kernel by axis.
        strides: Int >= 1 or tuple of two ints. Step between outputs.
        padding: `"valid"` or `"same"`.
        data_format: `"channels_last"` or `"channels_first"`. None takes Keras'
            setting.
        dilation_rate: Int >= 1 or tuple of two ints. Step between taps.
        groups: Int >= 1. Groups of channels that are convolved separately.
        activation: Name of a Keras activation, an elementwise function, or None.
        use_bias: Bool. Whether to add a bias.
        use_gain: Bool. Whether each filter has a learned gain, which starts at 1.
        kernel_initializer: Initializer of the kernel before it is standardized.
        bias_initializer: Initializer of the bias.
        kernel_regularizer: Regularizer of the kernel before it is standardized.
        bias_regularizer: Regularizer of the bias.
        activity_regularizer: Regularizer of the outputs.
        kernel_constraint: Constraint of the kernel before it is standardized.
        bias_constraint: Constraint of the bias.
        **kwargs: As for every Keras layer, such as `name` and `dtype`.

    Call arguments:
        inputs: Tensor `(batch, height, width, channels)`, or with channels first.

    Returns:
        Tensor `(batch, new_height, new_width, filters)`, or with channels first.

    Raises:
        ValueError: If an argument is out of range, or the activation is constant.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.layers import ScaledWSConv2D
    >>> layers = [ScaledWSConv2D(64, 3, activation="relu") for _ in range(3)]
    >>> x = np.random.default_rng(0).normal(size=(16, 12, 12, 32))
    >>> y = keras.Sequential(layers).predict(x, verbose=0)
    >>> bool(0.8 < y.std() < 1.2)
    True

    Reference:
        Brock et al., 2021, section 4. https://arxiv.org/abs/2101.08692. Here the gain
        follows the activation; in the paper it is in the next layer's weights.
    """

    @delegates(keras.layers.Conv2D.__init__, *OF_WEIGHTS)
    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        strides: int | tuple[int, int] = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | tuple[int, int] = 1,
        groups: int = 1,
        activation: Any = None,
        *,
        use_gain: bool = True,
        kernel_initializer: Any = "lecun_normal",
        **kwargs: Any,
    ) -> None:
        window = (filters, kernel_size, strides, padding, data_format, dilation_rate)
        super().__init__(
            *window, groups, activation, kernel_initializer=kernel_initializer, **kwargs
        )
        self.use_gain = use_gain
        self.gain = None
        self.activation_gain = gain_of(type(self).__name__, self.activation, True)

    def build(self, input_shape: Any) -> None:
        """Creates kernel, bias and gain."""
        super().build(input_shape)
        if self.use_gain:
            self.gain = self.add_weight(
                name="gain", shape=(self.filters,), initializer="ones"
            )

    def call(self, inputs: Any) -> Any:
        """Convolves `inputs` with the standardized kernel and scales the activation."""
        outputs = super().call(inputs)
        if self.activation_gain == 1:
            return outputs
        return self.activation_gain * outputs

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """Convolves `inputs` with the standardized `kernel`."""
        return super().convolution_op(inputs, self.standardized(kernel))

    def standardized(self, kernel: Any) -> Any:
        """`kernel` with mean 0 and variance 1 / fan-in in each filter, times its gain.

        Computed in float32 and returned in the dtype of `kernel`.
        """
        weights = ops.cast(kernel, "float32")
        mean, variance = ops.moments(weights, axes=(0, 1, 2), keepdims=True)
        fan_in = math.prod(kernel.shape[:3])
        scale = ops.rsqrt(ops.maximum(variance * fan_in, EPSILON))
        if self.gain is not None:
            scale = scale * ops.cast(self.gain, "float32")
        return ops.cast((weights - mean) * scale, kernel.dtype)

    def save_own_variables(self, store: Any) -> None:
        """Saves the gain along with the variables of Keras' convolution."""
        super().save_own_variables(store)
        if self.gain is not None:
            store["gain"] = self.gain

    def load_own_variables(self, store: Any) -> None:
        """Loads the variables that `save_own_variables` saved."""
        super().load_own_variables(store)
        if self.gain is not None:
            self.gain.assign(store["gain"])

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return super().get_config() | {"use_gain": self.use_gain}
