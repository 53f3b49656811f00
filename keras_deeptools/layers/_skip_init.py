"""A learned scale for a whole residual branch."""

from typing import Any

import keras

from keras_deeptools._shared_docs import shared_docs
from keras_deeptools.layers._layer_scale import LEARNED_SCALAR, LearnedNumbers


@shared_docs(learned_scalar=LEARNED_SCALAR)
@keras.saving.register_keras_serializable(package="keras_deeptools")
class SkipInit(LearnedNumbers):
    """Multiplies a residual branch by one learned number, which starts at 0.

    Batch normalization makes deep residual networks trainable because it scales
    branches down at the start; this layer does only that. With 0, each block starts as
    the identity. `NormFreeResidual` applies the layer. With `initial_value=1.0` it is
    the multiplier of Fixup.

    Args:
        initial_value: Finite float. Initial value of the number: 0, or
            `1 / sqrt(num_blocks)`.
    {{learned_scalar}}

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.layers import SkipInit
    >>> y = SkipInit(0.5)(np.ones((1, 2), "float32"))
    >>> keras.ops.convert_to_numpy(y).tolist()
    [[0.5, 0.5]]

    Reference:
        De & Smith, 2020, section 3. https://arxiv.org/abs/2002.10444
    """

    def build(self, input_shape: Any) -> None:
        """Creates the scalar."""
        self.multiplier = self.add_numbers("multiplier", ())
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        """Multiplies `inputs` by the scalar."""
        return inputs * keras.ops.cast(self.multiplier, inputs.dtype)
