"""From pixels in 0-255 to what a network was trained on, as plain Keras layers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras

from keras_deeptools.transfer._channels import channel_axis

# Of ImageNet's training images, red, green, blue, in 0-1.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
# Of the same images in 0-255, blue, green, red, as Caffe's models had it.
_BGR_MEAN = (103.939, 116.779, 123.68)

PREPROCESSINGS = ("symmetric", "standardize", "bgr", "included")


@dataclass(frozen=True)
class Preprocessing:
    """What is done to pixels in 0-255 before the first layer with weights.

    Every result is float32 under any dtype policy, and made by Keras' own layers and
    operations, so that a saved model loads without this package.

    Args:
        mode: Str. `"symmetric"`: to [-1, 1]. `"standardize"`: ImageNet's mean and
            standard deviation of each channel taken out. `"bgr"`: channels reversed,
            then ImageNet's mean of each taken out. `"included"`: nothing, for a model
            that takes 0-255.
        center: Float, with `"symmetric"` the pixel value that becomes 0.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.transfer._preprocessing import Preprocessing
    >>> pixels = keras.Input((1, 1, 3))
    >>> model = keras.Model(pixels, Preprocessing("bgr").apply(pixels, [(0, 1, 2)] * 3))
    >>> model.predict(np.full((1, 1, 1, 3), 104.0), verbose=0).round().tolist()
    [[[[0.0, -13.0, -20.0]]]]
    """

    mode: str
    center: float = 127.5

    @property
    def kernel_order(self) -> tuple[int, ...]:
        """The kernel's input channel that reads red, green and blue."""
        return (2, 1, 0) if self.mode == "bgr" else (0, 1, 2)

    @property
    def alike(self) -> bool:
        """Whether red, green and blue are all treated alike."""
        return self.mode == "symmetric"

    def apply(self, pixels: Any, reads: Sequence[Sequence[int]]) -> Any:
        """The network's input from pixels.

        Args:
            pixels: `keras.KerasTensor`, images in 0-255.
            reads: For each channel of the images the channels of a kernel for three
                that it feeds; the constants are the mean over those.
        """
        if self.mode == "included":
            return pixels
        if self.mode == "symmetric":
            scale = 1 / self.center
            layer = keras.layers.Rescaling(
                scale, offset=-1.0, dtype="float32", name="preprocessing"
            )
            return layer(pixels)
        if self.mode == "bgr":
            mean, std = list(_BGR_MEAN), [1.0, 1.0, 1.0]
        else:
            mean = [255 * value for value in MEAN]
            std = [255 * value for value in STD]
        axis = channel_axis(len(pixels.shape))
        if len(reads) == 3 and self.mode == "bgr":
            pixels = keras.ops.flip(pixels, axis=axis)
        else:
            mean, std = of_channels(mean, reads), of_channels(std, reads)
        layer = keras.layers.Normalization(
            axis=axis,
            mean=mean,
            variance=[value**2 for value in std],
            dtype="float32",
            name="preprocessing",
        )
        return layer(pixels)


def of_channels(values: Sequence[float], reads: Sequence[Sequence[int]]) -> list[float]:
    """For each channel the mean of the values of the kernel channels that it feeds.

    Args:
        values: Three floats.
        reads: As in `Preprocessing.apply`.

    Example:

    >>> from keras_deeptools.transfer._preprocessing import of_channels
    >>> of_channels([1.0, 2.0, 6.0], [(0,), (1,), (2,), (0,)])
    [1.0, 2.0, 6.0, 1.0]
    >>> of_channels([1.0, 2.0, 6.0], [(0, 1, 2)])
    [3.0]
    """
    return [sum(values[j] for j in read) / len(read) for read in reads]
