"""A skip connection that keeps variance 1."""

import math
from typing import Any

import keras

from keras_deeptools._arguments import checked_float
from keras_deeptools.layers._residual import Residual


@keras.saving.register_keras_serializable(package="keras_deeptools")
class SelfNormalizingResidual(Residual):
    """A branch of layers with a skip connection, joined so that variance stays 1.

    `Add` sums variances: after fifty skips, a variance of 1 has grown to 2^50. Here the
    squares of the weights sum to one: `sqrt(1 - a) * skip + sqrt(a) * branch`, by
    default `(x + f(x)) / sqrt(2)`, so that variance 1 stays 1 as long as branch and
    skip are uncorrelated, as they are with random weights.

    Args:
        branch: A layer, or a list of layers that are applied one after another.
        branch_fraction: Float in (0, 1). The branch's part `a` of the output's
            variance. Small values let deep networks start near the identity.
        projection: Layer for the skip. None takes the identity or, if the branch
            changes the shape, a linear projection with LeCun normal weights (dense, or
            a convolution of kernel size 1 with the branch's stride).
        **kwargs: As for every Keras layer, such as `name` and `dtype`.

    Call arguments:
        inputs: Tensor `(batch, ...)` of mean 0 and variance 1.
        training: Bool. Passed on to the branch.

    Returns:
        Tensor of the branch's output shape.

    Raises:
        ValueError: If `branch_fraction` is outside (0, 1). When built: if no
            projection results in the branch's output shape.
        TypeError: If an argument is of the wrong type.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.layers import (
    ...     SelfNormalizingDense, SelfNormalizingResidual
    ... )
    >>> blocks = [
    ...     SelfNormalizingResidual(SelfNormalizingDense(256, seed=i))
    ...     for i in range(20)
    ... ]
    >>> x = np.random.default_rng(0).normal(size=(512, 256)).astype("float32")
    >>> y = np.asarray(keras.Sequential(blocks).predict(x, verbose=0))
    >>> bool(abs(y.std() - 1) < 0.1)
    True

    Reference:
        Klambauer et al., 2017. https://arxiv.org/abs/1706.02515; for weights whose
        squares sum to one: Brock et al., 2021, section 2.
        https://arxiv.org/abs/2101.08692
    """

    def __init__(
        self,
        branch: keras.Layer | list[keras.Layer],
        branch_fraction: float = 0.5,
        projection: keras.Layer | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(branch, projection, **kwargs)
        self.branch_fraction = checked_float(
            type(self).__name__,
            "branch_fraction",
            branch_fraction,
            above=0,
            below=1,
            rule="in (0, 1)",
            remedy="0.5 weighs branch and skip alike.",
        )

    def join(self, skip: Any, outputs: Any) -> Any:
        """Returns the weighted sum of the skip and the branch's outputs."""
        fraction = self.branch_fraction
        return math.sqrt(1 - fraction) * skip + math.sqrt(fraction) * outputs

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, with layers in serialized form."""
        return super().get_config() | {"branch_fraction": self.branch_fraction}
