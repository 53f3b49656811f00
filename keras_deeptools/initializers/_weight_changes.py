"""Changing the kernels of a model, and taking the change back."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_deeptools.initializers._scale_walk import ScaleWalk


def orthonormal(kernel: Any, seed: int) -> np.ndarray:
    """An array of a kernel's shape with orthonormal columns, or rows if these are less.

    All axes but the last are taken as one, as Keras' `Orthogonal` does; drawn with
    numpy, because backends compile a decomposition for every shape. A depthwise kernel
    gets a unit vector per channel.

    Args:
        kernel: `keras.Variable` with at least two dimensions.
        seed: Int.

    Returns:
        Float32 array.

    Reference:
        Saxe et al., 2014. https://arxiv.org/abs/1312.6120
    """
    shape = tuple(kernel.shape)
    random = np.random.default_rng(seed)
    if kernel.name == "depthwise_kernel":
        drawn = random.normal(size=shape)
        taps = tuple(range(len(shape) - 2))
        norms = np.sqrt(np.square(drawn).sum(axis=taps, keepdims=True))
        return (drawn / norms).astype("float32")
    rows, columns = int(np.prod(shape[:-1])), shape[-1]
    drawn = random.normal(size=(max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(drawn)
    # With these signs the draw is uniform over all orthogonal matrices.
    q = q * np.sign(np.diag(r))
    return (q if rows >= columns else q.T).reshape(shape).astype("float32")


@contextlib.contextmanager
def restored_on_error(*walks: ScaleWalk) -> Iterator[None]:
    """Puts kernels and biases back when the block ends in an error."""
    held = [v for walk in walks for v in [*walk.kernels, *walk.biases]]
    variables = [variable for variable in held if variable is not None]
    values = [np.array(keras.ops.convert_to_numpy(v.value)) for v in variables]
    try:
        yield
    except BaseException:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        raise


def draw_orthonormal(walk: ScaleWalk, seed: int | None) -> None:
    """Gives every kernel orthonormal values, each from a seed of its own."""
    seeds = np.random.SeedSequence(seed).generate_state(len(walk.kernels))
    for kernel, each in zip(walk.kernels, seeds, strict=True):
        kernel.assign(orthonormal(kernel, int(each) % 2**31))


def apply_scales(
    walk: ScaleWalk, scales: np.ndarray, bias_scales: np.ndarray | None = None
) -> None:
    """Multiplies the kernels, and biases where told to."""
    pairs = list(zip(walk.kernels, scales, strict=True))
    if bias_scales is not None:
        pairs += zip(walk.biases, bias_scales, strict=True)
    for variable, scale in pairs:
        if variable is not None and scale != 1:
            # On the host: no operation is compiled for every shape there is.
            value = np.array(keras.ops.convert_to_numpy(variable.value))
            variable.assign((value * scale).astype(value.dtype))
