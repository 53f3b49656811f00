"""A first convolution for another number of input channels."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_deeptools.transfer._layer_constants import refresh_constants


def channel_axis(rank: int) -> int:
    """The axis of the channels of images, for tensors with `rank` axes.

    Args:
        rank: Int, number of axes, the batch among them.

    Example:

    >>> from keras_deeptools.transfer._channels import channel_axis
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

    >>> from keras_deeptools.transfer._channels import channel_reads
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
    >>> from keras_deeptools.transfer._channels import repeated_channels
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
    >>> from keras_deeptools.transfer._channels import repeated_kernel
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
