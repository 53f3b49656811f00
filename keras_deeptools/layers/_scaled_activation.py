"""An activation whose output has variance 1."""

from typing import Any

import keras

from keras_deeptools.statistics._activation_moments import gain_of


@keras.saving.register_keras_serializable(package="keras_deeptools")
class ScaledActivation(keras.layers.Activation):
    """An activation times the gain that gives its output variance 1.

    The gain is that for standard normal inputs, `f(z) / std f(z)`: 1.7129 times ReLU.
    The mean of the output is not 0; weights of mean 0, as in `ScaledWSConv2D`, remove
    it.

    Args:
        activation: Name of a Keras activation, or an elementwise function.
        **kwargs: As for every Keras layer, such as `name` and `dtype`.

    Call arguments:
        inputs: Tensor of any shape, of mean 0 and variance 1.

    Returns:
        Tensor of the shape of `inputs`.

    Raises:
        ValueError: If the activation is unknown, constant or not finite.

    Example:

    >>> from keras_deeptools.layers import ScaledActivation
    >>> round(ScaledActivation("relu").gain, 4)
    1.7129

    Reference:
        Brock et al., 2021, section 4.2. https://arxiv.org/abs/2101.08692
    """

    def __init__(self, activation: Any, **kwargs: Any) -> None:
        super().__init__(activation, **kwargs)
        self.gain = gain_of(type(self).__name__, self.activation, True)

    def call(self, inputs: Any) -> Any:
        """Returns the scaled activation of `inputs`."""
        return self.gain * self.activation(inputs)
