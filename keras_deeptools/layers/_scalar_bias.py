"""A learned scalar that is added to the inputs."""

from typing import Any

import keras

from keras_deeptools._shared_docs import shared_docs
from keras_deeptools.layers._layer_scale import LEARNED_SCALAR, LearnedNumbers


@shared_docs(learned_scalar=LEARNED_SCALAR)
@keras.saving.register_keras_serializable(package="keras_deeptools")
class ScalarBias(LearnedNumbers):
    """Adds one learned number, as Fixup does before each weight layer and activation.

    Args:
        initial_value: Finite float. Initial value of the number.
    {{learned_scalar}}

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.layers import ScalarBias
    >>> y = ScalarBias(0.5)(np.ones((1, 2), "float32"))
    >>> keras.ops.convert_to_numpy(y).tolist()
    [[1.5, 1.5]]

    Reference:
        Zhang et al., 2019, section 3. https://arxiv.org/abs/1901.09321
    """

    def build(self, input_shape: Any) -> None:
        """Creates the scalar."""
        self.bias = self.add_numbers("bias", ())
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        """Adds the scalar to `inputs`."""
        return inputs + keras.ops.cast(self.bias, inputs.dtype)
