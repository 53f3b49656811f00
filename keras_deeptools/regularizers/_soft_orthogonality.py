"""A penalty that keeps kernels, also of convolutions, near orthogonal."""

import math
from typing import Any

import keras
from keras import ops

from keras_deeptools._arguments import checked_bool, checked_float, message

OWNER = "SoftOrthogonality"


@keras.saving.register_keras_serializable(package="keras_deeptools")
class SoftOrthogonality(keras.regularizers.Regularizer):
    """Penalizes the squared distance of a kernel's Gram matrix from the identity.

    Orthogonal kernels keep the length of signals and gradients, and their units do not
    repeat each other. The kernel is taken as a matrix `W` with a column for each unit,
    for a convolution with a row for each tap and input channel; the penalty is
    `factor * sum((W.T W - I) ** 2)`. Where there are more units than inputs of each,
    they cannot all be orthogonal, and `W W.T` is compared with the identity.

    Keras' own `OrthogonalRegularizer` takes matrices only, and penalizes the absolute
    cosines between units, whatever their lengths.

    Args:
        factor: Float >= 0. The paper uses 0.1, later 1e-4 and less.
        lengths: Bool. Whether the lengths of units are drawn to 1 as well. False
            penalizes their products with each other alone, as for BigGAN.

    Call arguments:
        x: Tensor `(..., units)`, a kernel of a dense layer or a convolution. Kernels of
            depthwise and transposed convolutions have their units elsewhere.

    Returns:
        Scalar tensor.

    Raises:
        ValueError: If `factor` is negative. When called: for fewer than two dimensions.
        TypeError: If an argument is of the wrong type.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.regularizers import SoftOrthogonality
    >>> float(SoftOrthogonality(0.5)(np.array([[1.0, 1.0], [0.0, 1.0]])))
    1.5
    >>> layer = keras.layers.Conv2D(8, 3, kernel_regularizer=SoftOrthogonality(1e-4))

    Reference:
        Bansal et al., 2018, sections 3.1 and 3.2. https://arxiv.org/abs/1810.09102.
        Without lengths: Brock et al., 2019, equation 3.
        https://arxiv.org/abs/1809.11096
    """

    def __init__(self, factor: float = 1e-4, lengths: bool = True) -> None:
        self.factor = checked_float(OWNER, "factor", factor, at_least=0)
        self.lengths = checked_bool(OWNER, "lengths", lengths)

    def __call__(self, x: Any) -> Any:
        """Returns the penalty of a kernel."""
        shape = tuple(x.shape)
        if len(shape) < 2:
            rule = "a kernel of at least two dimensions"
            raise ValueError(message(OWNER, "x", rule, shape))
        rows, units = math.prod(shape[:-1]), shape[-1]
        matrix = ops.reshape(x, (rows, units))
        if units > rows:
            matrix = ops.transpose(matrix)
        gram = ops.matmul(ops.transpose(matrix), matrix)
        identity = ops.eye(min(rows, units), dtype=gram.dtype)
        gram = gram - identity if self.lengths else gram * (1 - identity)
        return self.factor * ops.sum(ops.square(gram))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"factor": self.factor, "lengths": self.lengths}
