"""From pixels in 0-255 to what a network was trained on, as plain Keras layers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._graph.layers import layers_of


def refresh_constants(model: keras.Model) -> None:
    """Lets `Normalization` layers compute with the weights that they have now.

    They make constants of their weights when these are adapted or loaded from a file.
    After an assignment they would go on with the old ones, but for torch, where the
    constants share the memory of the weights.

    Args:
        model: `keras.Model` whose weights have been assigned.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.transfer._backbones.preprocessing import refresh_constants
    >>> layer = keras.layers.Normalization()
    >>> model = keras.Sequential([keras.Input((1,)), layer])
    >>> model.set_weights([np.array([3.0]), np.array([4.0]), np.array(0)])
    >>> refresh_constants(model)
    >>> float(model(np.array([[7.0]]))[0, 0])
    2.0
    """
    for layer, _ in layers_of(model):
        if isinstance(layer, keras.layers.Normalization) and layer.weights:
            layer.finalize_state()


def channel_axis(rank: int) -> int:
    """The axis of the channels of images, for tensors with `rank` axes.

    Args:
        rank: Int, number of axes, the batch among them.

    Example:

    >>> from keras_deeptools.transfer._backbones.preprocessing import channel_axis
    >>> channel_axis(4)
    3
    """
    first = keras.config.image_data_format() == "channels_first"
    return 1 if first else rank - 1


def channel_reads(
    num_channels: int, kernel_order: Sequence[int]
) -> list[tuple[int, ...]]:
    """For each channel of the images the channels of a three-channel kernel it feeds.

    Three or more channels take turns: red, green, blue, red, and so on. One or two feed
    all three.

    Args:
        num_channels: Int >= 1.
        kernel_order: The kernel's channels for red, green and blue.

    Example:

    >>> from keras_deeptools.transfer._backbones.preprocessing import channel_reads
    >>> channel_reads(4, (0, 1, 2)), channel_reads(1, (0, 1, 2))
    ([(0,), (1,), (2,), (0,)], [(0, 1, 2)])
    """
    if num_channels < 3:
        return [tuple(kernel_order)] * num_channels
    return [(kernel_order[channel % 3],) for channel in range(num_channels)]


def repeated_channels(pixels: Any) -> Any:
    """One or two channels three times side by side, more of them as they are.

    Args:
        pixels: `keras.KerasTensor`, images.

    Example:

    >>> import keras
    >>> from keras_deeptools.transfer._backbones.preprocessing import repeated_channels
    >>> repeated_channels(keras.Input((8, 8, 1))).shape
    (None, 8, 8, 3)
    """
    axis = channel_axis(len(pixels.shape))
    if pixels.shape[axis] >= 3:
        return pixels
    layer = keras.layers.Concatenate(axis=axis, name="repeated_channels")
    return layer([pixels, pixels, pixels])


def repeated_kernel(kernel: np.ndarray, reads: Sequence[Sequence[int]]) -> np.ndarray:
    """A kernel for other channels that treats images of equal channels as before.

    A slice of the kernel that several channels feed is divided by their number, so that
    the sum over the channels stays what it was.

    Args:
        kernel: Array `(..., 3, filters)`.
        reads: For each new channel the old ones that it feeds; each is fed.

    Example:

    >>> import numpy as np
    >>> from keras_deeptools.transfer._backbones.preprocessing import repeated_kernel
    >>> kernel = np.array([[[1.0], [2.0], [6.0]]])
    >>> repeated_kernel(kernel, [(0,), (1,), (2,), (0,)])[0, :, 0].tolist()
    [0.5, 2.0, 6.0, 0.5]
    >>> repeated_kernel(kernel, [(0, 1, 2)])[0, :, 0].tolist()
    [9.0]
    """
    shares = np.zeros((len(reads), kernel.shape[-2]), kernel.dtype)
    for channel, read in enumerate(reads):
        shares[channel, list(read)] = 1
    shares /= shares.sum(axis=0)
    return np.einsum("...jo,cj->...co", kernel, shares)


def transplant(
    source: keras.Model,
    target: keras.Model,
    reads: Sequence[Sequence[int]],
    own_normalization: bool = False,
) -> None:
    """Give a model the weights of the same model for three channels.

    Args:
        source: `keras.Model` for images of three channels.
        target: `keras.Model` with the same layers, for `len(reads)` channels.
        reads: As in `repeated_kernel`.
        own_normalization: Bool, whether `Normalization` layers, which hold a value for
            each channel, keep those of the target.

    Raises:
        ValueError: If more than the kernel of one convolution depends on the channels.
    """
    left_out = keras.layers.Normalization if own_normalization else ()
    old_weights, new_weights = _weights(source, left_out), _weights(target, left_out)
    pairs = list(zip(old_weights, new_weights, strict=True))
    changed = [(old, new) for old, new in pairs if old.shape != new.shape]
    as_it_is = len(reads) == 3 and not changed
    if not as_it_is and (
        len(changed) != 1 or not _is_kernel_for(len(reads), *changed[0])
    ):
        listed = ", ".join(f"{new.path} {tuple(new.shape)}" for _, new in changed)
        raise ValueError(
            "backbone: `input_shape` must have as many channels as the model, unless "
            "just the kernel of its first convolution depends on them. Received: "
            f"{len(reads)} channels, which change {listed or 'nothing'}. Turn the "
            "images into ones of three channels."
        )
    for old, new in pairs:
        value = keras.ops.convert_to_numpy(old)
        new.assign(value if old.shape == new.shape else repeated_kernel(value, reads))
    refresh_constants(target)


def _weights(model: keras.Model, left_out: Any) -> list[Any]:
    """The weights, less those of layers of one kind."""
    theirs = {
        id(variable)
        for layer in model.layers
        if isinstance(layer, left_out)
        for variable in layer.weights
    }
    return [variable for variable in model.weights if id(variable) not in theirs]


def _is_kernel_for(num_channels: int, old: Any, new: Any) -> bool:
    """True where only the channels that a convolution reads have changed."""
    expected = (*old.shape[:-2], num_channels, old.shape[-1])
    return len(old.shape) > 2 and old.shape[-2] == 3 and tuple(new.shape) == expected


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
    >>> from keras_deeptools.transfer._backbones.preprocessing import Preprocessing
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

    >>> from keras_deeptools.transfer._backbones.preprocessing import of_channels
    >>> of_channels([1.0, 2.0, 6.0], [(0,), (1,), (2,), (0,)])
    [1.0, 2.0, 6.0, 1.0]
    >>> of_channels([1.0, 2.0, 6.0], [(0, 1, 2)])
    [3.0]
    """
    return [sum(values[j] for j in read) / len(read) for read in reads]
