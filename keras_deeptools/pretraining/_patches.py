"""Which parts of each row are hidden from an encoder."""

import math
from typing import Any

import keras
from keras import ops


def checked_patches(owner: str, patch: Any, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """The size of a patch along each axis that it spans, or an error.

    Args:
        owner: Str, who is named in errors.
        patch: Int >= 1 for all axes, or a tuple of one for each.
        sizes: Tuple of ints, the sizes of those axes.
    """
    each = (patch,) * len(sizes) if not isinstance(patch, tuple | list) else patch
    whole = all(isinstance(p, int) and not isinstance(p, bool) and p >= 1 for p in each)
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
    """How many patches there are along each axis, the last one maybe cut off.

    Args:
        sizes: Tuple of ints, the sizes of the axes.
        patch: Tuple of ints, the sizes of a patch.
    """
    return tuple(-(-size // part) for size, part in zip(sizes, patch, strict=True))


def num_to_mask(sizes: tuple[int, ...], patch: tuple[int, ...], rate: float) -> int:
    """How many patches of a row are hidden: at least one, and not all.

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
    """A mask in which every row hides as many patches, chosen anew.

    Args:
        num_rows: Int or int tensor.
        sizes: Tuple of ints, the sizes of the axes that patches span.
        patch: Tuple of ints, the sizes of a patch.
        num_masked: Int, patches to hide in a row.
        seed: `keras.random.SeedGenerator`.

    Returns:
        Float32 tensor `(rows, *sizes)`, 1 where hidden.
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
