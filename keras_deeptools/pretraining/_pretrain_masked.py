"""Pretraining of a whole network as a masked autoencoder."""

import math
from typing import Any

import keras
from keras import ops

from keras_deeptools._arguments import checked_float, is_integer
from keras_deeptools.pretraining._encoder import Encoder
from keras_deeptools.pretraining._pretrain_denoising import reconstructed
from keras_deeptools.pretraining._pretraining import (
    Pretraining,
    checked_run,
    takes_fit_options,
)


def checked_patches(owner: str, patch: Any, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the size of a patch along each axis that it spans, or raises an error.

    Args:
        owner: Str, who is named in errors.
        patch: Int >= 1 for all axes, or a tuple of one for each.
        sizes: Tuple of ints, the sizes of those axes.
    """
    each = (patch,) * len(sizes) if not isinstance(patch, tuple | list) else patch
    whole = all(is_integer(p) and p >= 1 for p in each)
    if not whole or len(each) != len(sizes):
        raise ValueError(
            f"{owner}: `patch_size` must be an integer >= 1, or one for each of the "
            f"{len(sizes)} axes that are masked. Received: patch_size={patch!r}."
        )
    if all(p >= size for p, size in zip(each, sizes, strict=True)):
        raise ValueError(
            f"{owner}: `patch_size` must leave more than one patch. Received: "
            f"patch_size={patch!r} for inputs of size {sizes}. Give a smaller one."
        )
    return tuple(each)


def num_patches(sizes: tuple[int, ...], patch: tuple[int, ...]) -> tuple[int, ...]:
    """Returns how many patches there are along each axis; the last may be cut off.

    Args:
        sizes: Tuple of ints, the sizes of the axes.
        patch: Tuple of ints, the sizes of a patch.
    """
    return tuple(-(-size // part) for size, part in zip(sizes, patch, strict=True))


def num_to_mask(sizes: tuple[int, ...], patch: tuple[int, ...], rate: float) -> int:
    """Returns how many patches of a sample are hidden: at least one, and not all.

    Args:
        sizes: Tuple of ints, the sizes of the axes.
        patch: Tuple of ints, the sizes of a patch.
        rate: Float in (0, 1), the fraction to hide.
    """
    total = math.prod(num_patches(sizes, patch))
    return min(max(round(rate * total), 1), total - 1)


def random_mask(
    num_rows: Any,
    sizes: tuple[int, ...],
    patch: tuple[int, ...],
    num_masked: int,
    seed: keras.random.SeedGenerator,
) -> Any:
    """Returns a mask that hides equally many random patches in every sample.

    Args:
        num_rows: Int or int tensor.
        sizes: Tuple of ints, the sizes of the axes that patches span.
        patch: Tuple of ints, the sizes of a patch.
        num_masked: Int, patches to hide in a sample.
        seed: `keras.random.SeedGenerator`.

    Returns:
        Float32 tensor `(samples, *sizes)`, 1 where hidden.
    """
    counts = num_patches(sizes, patch)
    noise = keras.random.uniform((num_rows, math.prod(counts)), seed=seed)
    rank = ops.argsort(ops.argsort(noise, axis=-1), axis=-1)
    mask = ops.cast(rank < num_masked, "float32")
    mask = ops.reshape(mask, (-1, *counts))
    for axis, (part, size) in enumerate(zip(patch, sizes, strict=True), 1):
        mask = ops.repeat(mask, part, axis=axis)
        mask = mask[(slice(None),) * axis + (slice(0, size),)]
    return mask


OWNER = "pretrain_masked"


@takes_fit_options
def pretrain_masked(
    model: keras.Model,
    x: Any,
    *,
    patch_size: int | tuple[int, ...],
    mask_rate: float = 0.5,
    mask_value: float = 0.0,
    until: str | None = None,
    decoder: keras.Layer | None = None,
    loss: str = "auto",
    epochs: int = 50,
    batch_size: int = 32,
    **fit_options: Any,
) -> Pretraining:
    """Pretrains a network without labels to fill in what is masked.

    In every batch new patches are chosen to be hidden, equally many in each sample:
    squares of images (all channels), stretches of sequences (all features), features of
    vectors. The model up to its head is the encoder, and a mirrored decoder is put
    behind it. With `fit` both learn to predict the hidden part; visible elements do not
    count in the loss. Afterwards the encoder's weights are in the model. Everything
    else is as for `pretrain_denoising`.

    In this function hidden elements are set to `mask_value`, and the encoder computes
    them like all others, so that any network can be used. He et al. leave hidden
    patches out of a transformer, which then never sees a mask and costs less. A
    convolutional network sees edges of patches that later inputs do not have, its
    BatchNormalization averages over masked inputs, and it saves no time: do not expect
    the gains of their paper without measuring them.

    Args:
        model: `keras.Model`, functional or a built Sequential, with one input of floats
            and of fixed shape. It does not need to be compiled.
        x: Inputs without labels, as for `pretrain_denoising`.
        patch_size: Int >= 1, or one for each axis: pixels along the sides of a patch,
            steps of a sequence, or features of a vector that are hidden together.
        mask_rate: Float in (0, 1), the fraction of patches to hide in every sample,
            rounded to whole patches, at least one and not all.
        mask_value: Float, the value of hidden elements, in the units of `x`.
        until: Name of the last layer of the encoder, as for `pretrain_denoising`.
        decoder: None, or a Keras layer or model, as for `pretrain_denoising`.
        loss: `"auto"`, `"mean_squared_error"` or `"binary_crossentropy"`, as for
            `pretrain_denoising`.
        epochs: Int >= 1.
        batch_size: Int >= 1, samples in a batch if `x` is an array.
        {{fit_options}}

    Returns:
        `Pretraining`: loss by epoch, over hidden elements; you can print or plot it.

    {{errors}}

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.pretraining import pretrain_masked
    >>> conv = keras.layers.Conv2D(4, 3, activation="relu", name="conv")
    >>> head = keras.layers.Dense(3, "softmax", name="head")
    >>> model = keras.Sequential(
    ...     [keras.Input((8, 8, 1)), conv, keras.layers.Flatten(), head]
    ... )
    >>> x = np.random.default_rng(0).uniform(size=(32, 8, 8, 1))
    >>> result = pretrain_masked(model, x, patch_size=2, epochs=2, seed=0, verbose=0)
    >>> result.layers, len(result.history["loss"])
    (('conv',), 2)

    Reference:
        He et al., 2022, sections 3 and 4.1. https://arxiv.org/abs/2111.06377
    """
    run = checked_run(OWNER, model, x, until, epochs, batch_size, fit_options)
    sizes, axis = _masked_axes(run.encoder)
    patch = checked_patches(OWNER, patch_size, sizes)
    rate = checked_float(
        OWNER, "mask_rate", mask_rate, above=0, below=1, rule="in (0, 1)"
    )
    count = num_to_mask(sizes, patch, rate)
    value = checked_float(OWNER, "mask_value", mask_value)

    def spoil(inputs: Any, generator: keras.random.SeedGenerator) -> tuple[Any, Any]:
        mask = random_mask(ops.shape(inputs)[0], sizes, patch, count, generator)
        if axis is not None:
            mask = ops.expand_dims(mask, axis)
        mask = ops.broadcast_to(ops.cast(mask, inputs.dtype), ops.shape(inputs))
        return inputs * (1 - mask) + value * mask, mask

    return reconstructed(OWNER, run, "masked autoencoder", decoder, loss, spoil)


def _masked_axes(encoder: Encoder) -> tuple[tuple[int, ...], int | None]:
    """Returns the sizes of the axes that patches span, and the axis of channels."""
    shape = tuple(encoder.inputs.shape[1:])
    axis: int | None = None
    if len(shape) > 1:
        axis = 1 if encoder.channels_first else -1
    sizes = shape
    if axis is not None:
        sizes = shape[1:] if axis == 1 else shape[:-1]
    if not sizes or None in shape:
        raise ValueError(
            f"{OWNER}: `model` must take inputs of a fixed shape. Received: "
            f"{encoder.graph.name!r}, which takes {shape}. Build it for one."
        )
    return sizes, axis
