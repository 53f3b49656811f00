"""What the layers of learned numbers share."""

from typing import Any

import keras

from keras_deeptools._arguments import checked_float


class LearnedNumbers(keras.layers.Layer):
    """A layer of one shape, whose weights all start at one value."""

    def __init__(self, initial_value: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        owner = type(self).__name__
        self.initial_value = checked_float(owner, "initial_value", initial_value)
        self.supports_masking = True

    def add_numbers(self, name: str, shape: tuple[int, ...]) -> keras.Variable:
        """A new weight, all of it the initial value."""
        start = keras.initializers.Constant(self.initial_value)
        return self.add_weight(name=name, shape=shape, initializer=start)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the inputs."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"initial_value": self.initial_value}
