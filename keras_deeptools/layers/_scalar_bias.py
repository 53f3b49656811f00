"""A learned scalar that is added."""

from typing import Any

import keras

from keras_deeptools.layers._skip_init import checked_finite


@keras.saving.register_keras_serializable(package="keras_deeptools")
class ScalarBias(keras.layers.Layer):
    """Adds one learned number, as Fixup does before each weight layer and activation.

    Args:
        initial_value: Finite float. The number at first.
        **kwargs: As for every Keras layer, such as `name` and `dtype`.

    Call arguments:
        inputs: Tensor of any shape.

    Returns:
        Tensor of the shape of `inputs`.

    Raises:
        ValueError: If `initial_value` is not finite.
        TypeError: If `initial_value` is not a number.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.layers import ScalarBias
    >>> y = ScalarBias(0.5)(np.ones((1, 2), "float32"))
    >>> keras.ops.convert_to_numpy(y).tolist()
    [[1.5, 1.5]]

    Reference:
        Zhang et al., 2019, section 3. https://arxiv.org/abs/1901.09321
    """

    def __init__(self, initial_value: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.initial_value = checked_finite(self, initial_value)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Creates the scalar."""
        self.bias = self.add_weight(
            name="bias",
            shape=(),
            initializer=keras.initializers.Constant(self.initial_value),
        )
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        """`inputs` plus the scalar."""
        return inputs + keras.ops.cast(self.bias, inputs.dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the inputs."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"initial_value": self.initial_value}
