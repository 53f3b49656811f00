"""A residual block that needs no normalization."""

from typing import Any

import keras

from keras_deeptools._arguments import message
from keras_deeptools.layers._residual import Residual
from keras_deeptools.layers._skip_init import SkipInit


@keras.saving.register_keras_serializable(package="keras_deeptools")
class NormFreeResidual(Residual):
    """A branch of layers beside a skip, opened by a learned scale: `x + scale(f(x))`.

    The scale starts at or near zero, so the block starts as the identity (or the
    projection), whatever the depth: what batch normalization does for residual nets,
    without its cost and without ties between the rows of a batch. Any branch will do;
    `norm_free_block` makes convolutional ones.

    Args:
        branch: A layer, or a list of layers that are applied one after another.
        scale: Layer that scales the branch's outputs, such as `LayerScale()`. None
            takes `SkipInit()`.
        projection: Layer for the skip, or None: the identity, and where the branch
            changes the shape a linear projection with LeCun normal weights (dense, or
            a convolution of kernel size 1 with the branch's stride).
        **kwargs: As for every Keras layer, such as `name` and `dtype`.

    Call arguments:
        inputs: Tensor `(batch, ...)`.
        training: Bool. Passed on to the branch.

    Returns:
        Tensor of the branch's output shape.

    Raises:
        ValueError: When built: if no projection leads to the branch's output shape.
        TypeError: If an argument is of the wrong type.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.layers import NormFreeResidual
    >>> block = NormFreeResidual([keras.layers.Dense(8, "relu"), keras.layers.Dense(3)])
    >>> x = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    >>> bool((keras.ops.convert_to_numpy(block(x)) == x).all())
    True

    Reference:
        De & Smith, 2020, section 3. https://arxiv.org/abs/2002.10444
    """

    def __init__(
        self,
        branch: keras.Layer | list[keras.Layer],
        scale: keras.Layer | None = None,
        projection: keras.Layer | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(branch, projection, **kwargs)
        if scale is not None and not isinstance(scale, keras.Layer):
            rule = "a layer or None"
            raise TypeError(message(type(self).__name__, "scale", rule, scale))
        if scale is None:
            scale = SkipInit(dtype=self.dtype_policy, name="skip_init")
        self.scale = scale

    def build(self, input_shape: Any) -> None:
        """Builds the branch, its scale and, where needed, the projection."""
        if not self.scale.built:
            self.scale.build(self.compute_output_shape(input_shape))
        super().build(input_shape)

    def join(self, skip: Any, outputs: Any) -> Any:
        """The sum of the skip and the scaled branch."""
        return skip + self.scale(outputs)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, layers in serialized form."""
        scale = keras.saving.serialize_keras_object(self.scale)
        return super().get_config() | {"scale": scale}
