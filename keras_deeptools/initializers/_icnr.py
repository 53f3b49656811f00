"""Initial kernels of sub-pixel convolutions without checkerboard artifacts."""

from typing import Any

import keras

from keras_deeptools._arguments import checked_bool, checked_count, message


@keras.saving.register_keras_serializable(package="keras_deeptools")
class ICNR(keras.initializers.Initializer):
    """Kernel before depth-to-space that starts as nearest-neighbour upsampling.

    The filters that become the pixels of one square are equal, so that the upsampled
    image has no checkerboard artifacts when training starts.

    Args:
        initializer: Str or `keras.initializers.Initializer`. Draws the kernel of one
            pixel of the square.
        scale: Int >= 1. Factor of the upsampling.
        num_dims: Int >= 1. Number of axes that are upsampled: 2 for images.
        channels_outermost: Bool. Order in which depth-to-space takes the filters.
            False: the pixel is the slow index and the channel the fast one, as in
            `keras.ops.depth_to_space` (Keras 3.14 and later); True: the reverse, as in
            PyTorch's PixelShuffle.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is outside its range; when called, if the number of
            filters is not a multiple of `scale ** num_dims`.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.initializers import ICNR
    >>> conv = keras.layers.Conv2D(12, 3, kernel_initializer=ICNR("he_normal", scale=2))
    >>> x = np.random.default_rng(0).normal(size=(1, 5, 5, 4)).astype("float32")
    >>> y = keras.ops.convert_to_numpy(keras.ops.depth_to_space(conv(x), 2))
    >>> bool(np.allclose(y[:, ::2, ::2], y[:, 1::2, 1::2], atol=1e-5))
    True

    Reference:
        Aitken et al., 2017, section 3. https://arxiv.org/abs/1707.02937
    """

    def __init__(
        self,
        initializer: str | keras.initializers.Initializer = "he_normal",
        scale: int = 2,
        num_dims: int = 2,
        channels_outermost: bool = False,
    ) -> None:
        owner = type(self).__name__
        self.scale = checked_count(owner, "scale", scale)
        self.num_dims = checked_count(owner, "num_dims", num_dims)
        self.channels_outermost = checked_bool(
            owner, "channels_outermost", channels_outermost
        )
        try:
            self.initializer = keras.initializers.get(initializer)
        except (TypeError, ValueError) as error:
            rule = "an initializer or the name of one"
            text = message(owner, "initializer", rule, initializer)
            raise ValueError(text) from error
        if self.initializer is None:
            raise ValueError(message(owner, "initializer", "an initializer", None))

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        """Draw a kernel `(*window, channels, filters)`, in Keras' dtype by default."""
        pixels = self.scale**self.num_dims
        if shape[-1] % pixels:
            rule = f"of a kernel whose filters are a multiple of {pixels}"
            raise ValueError(message(type(self).__name__, "shape", rule, shape))
        one = self.initializer((*shape[:-1], shape[-1] // pixels), dtype=dtype)
        if self.channels_outermost:
            return keras.ops.repeat(one, pixels, axis=-1)
        return keras.ops.concatenate([one] * pixels, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {
            "initializer": keras.initializers.serialize(self.initializer),
            "scale": self.scale,
            "num_dims": self.num_dims,
            "channels_outermost": self.channels_outermost,
        }
