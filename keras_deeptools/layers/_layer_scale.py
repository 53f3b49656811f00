"""A learned scale for each channel of a residual branch."""

from typing import Any

import keras

from keras_deeptools._arguments import checked_float, is_integer, message

LEARNED_SCALAR = """\
    **kwargs: As for every Keras layer, such as `name` and `dtype`.

Call arguments:
    inputs: Tensor of any shape.

Returns:
    Tensor of the shape of `inputs`.

Raises:
    ValueError: If `initial_value` is not finite.
    TypeError: If `initial_value` is not a number.
"""
"""What the docstrings of layers with one learned number have in common."""


class LearnedNumbers(keras.layers.Layer):
    """A layer that keeps the shape of inputs; its weights start at one value."""

    def __init__(self, initial_value: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        owner = type(self).__name__
        self.initial_value = checked_float(owner, "initial_value", initial_value)
        self.supports_masking = True

    def add_numbers(self, name: str, shape: tuple[int, ...]) -> keras.Variable:
        """Adds a weight whose elements all are the initial value."""
        start = keras.initializers.Constant(self.initial_value)
        return self.add_weight(name=name, shape=shape, initializer=start)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Returns the shape of the inputs."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return super().get_config() | {"initial_value": self.initial_value}


@keras.saving.register_keras_serializable(package="keras_deeptools")
class LayerScale(LearnedNumbers):
    """Multiplies each channel of a residual branch by a learned number, small at first.

    The branch starts near zero, so that deep networks start near the identity, and the
    scale of each channel grows at its own pace. `NormFreeResidual` applies the layer.

    Args:
        initial_value: Finite float. Initial value of all numbers. The paper uses 0.1
            for up to 18 blocks, 1e-5 for up to 24, and 1e-6 for more.
        axis: Int. Axis of the channels, -1 for channels last.
        **kwargs: As for every Keras layer, such as `name` and `dtype`.

    Call arguments:
        inputs: Tensor `(batch, ..., channels)`, or with the channels at `axis`.

    Returns:
        Tensor of the shape of `inputs`.

    Raises:
        ValueError: If `initial_value` is not finite. When built: if the axis is the
            batch axis, does not exist or is of unknown size.
        TypeError: If an argument is of the wrong type.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.layers import LayerScale
    >>> y = LayerScale(0.5)(np.ones((1, 3), "float32"))
    >>> keras.ops.convert_to_numpy(y).tolist()
    [[0.5, 0.5, 0.5]]

    Reference:
        Touvron et al., 2021, section 2. https://arxiv.org/abs/2103.17239
    """

    def __init__(
        self, initial_value: float = 1e-5, axis: int = -1, **kwargs: Any
    ) -> None:
        super().__init__(initial_value, **kwargs)
        if not is_integer(axis):
            raise TypeError(message(type(self).__name__, "axis", "an integer", axis))
        self.axis = axis

    def build(self, input_shape: Any) -> None:
        """Creates the factors."""
        rank = len(input_shape)
        axis = self.axis % rank if -rank <= self.axis < rank else 0
        if axis == 0 or input_shape[axis] is None:
            rule = f"an axis of known size, not the batch's, of {tuple(input_shape)}"
            raise ValueError(message(type(self).__name__, "axis", rule, self.axis))
        self.multipliers = self.add_numbers("multipliers", (input_shape[axis],))
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        """Multiplies `inputs` by the factor of each channel."""
        rank = len(inputs.shape)
        shape = [-1 if i == self.axis % rank else 1 for i in range(rank)]
        multipliers = keras.ops.reshape(self.multipliers, shape)
        return inputs * keras.ops.cast(multipliers, inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return super().get_config() | {"axis": self.axis}
