"""Recurrent kernels that start as the identity, so that the state is kept."""

from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import message
from keras_deeptools.initializers._gain import checked_gain
from keras_deeptools.initializers._kernel import as_tensor


@keras.saving.register_keras_serializable(package="keras_deeptools")
class IdentityRNN(keras.initializers.Initializer):
    """Recurrent kernel that is a multiple of the identity, in every gate.

    A `SimpleRNN` with ReLU, this initializer and a zero bias keeps its state when the
    input is zero, so that gradients neither vanish nor explode through time (the IRNN
    of Le et al.). The fused kernels of LSTM and GRU get one identity for each gate.

    Args:
        gain: Float > 0. Value on the diagonal. The paper uses 1, and 0.01 for tasks
            without long dependencies.

    Raises:
        TypeError: If `gain` is not a number.
        ValueError: If `gain` is not > 0; when called, if the shape is not
            `(units, gates * units)`.

    Example:

    >>> import keras
    >>> from keras_deeptools.initializers import IdentityRNN
    >>> rnn = keras.layers.SimpleRNN(
    ...     64, "relu", recurrent_initializer=IdentityRNN(),
    ...     kernel_initializer=keras.initializers.RandomNormal(stddev=0.001))
    >>> keras.ops.convert_to_numpy(IdentityRNN(0.5)((2, 4))).tolist()
    [[0.5, 0.0, 0.5, 0.0], [0.0, 0.5, 0.0, 0.5]]

    Reference:
        Le et al., 2015, section 2. https://arxiv.org/abs/1504.00941
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = checked_gain(type(self).__name__, gain)

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        """Make a kernel `(units, gates * units)`, in Keras' own dtype by default."""
        shape = tuple(shape)
        if len(shape) != 2 or shape[1] % shape[0]:
            rule = "(units, gates * units), that of a recurrent kernel"
            raise ValueError(message(type(self).__name__, "shape", rule, shape))
        identity = self.gain * np.eye(shape[0])
        return as_tensor(np.tile(identity, (1, shape[1] // shape[0])), dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {"gain": self.gain}
