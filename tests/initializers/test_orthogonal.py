"""Orthogonal kernels, against PyTorch's contract and linear algebra."""

import keras
import numpy as np
import pytest
import torch

from keras_deeptools.initializers import DeltaOrthogonal, ScaledOrthogonal


def values(tensor: object) -> np.ndarray:
    return keras.ops.convert_to_numpy(tensor).astype("float64")


def test_a_matrix_that_narrows_has_torchs_singular_values() -> None:
    ours = values(ScaledOrthogonal(1.5, "dense", seed=0)((8, 5)))
    theirs = torch.nn.init.orthogonal_(torch.empty(8, 5), gain=1.5).numpy()
    spectra = [np.linalg.svd(w, compute_uv=False) for w in (ours, theirs)]
    np.testing.assert_allclose(*spectra, rtol=1e-5)


def test_a_matrix_that_widens_has_the_singular_values_that_keep_variance() -> None:
    spectrum = np.linalg.svd(
        values(ScaledOrthogonal(seed=0)((5, 20))), compute_uv=False
    )
    np.testing.assert_allclose(spectrum, 2.0, rtol=1e-5)


@pytest.mark.parametrize(
    "settings, shape, matrices",
    [
        ({"kind": "recurrent", "groups": 4}, (6, 24), lambda w: np.split(w, 4, axis=1)),
        (
            {"kind": "conv", "groups": 2},
            (3, 3, 4, 8),
            lambda w: np.split(w.reshape(36, 8), 2, axis=1),
        ),
        (
            {"kind": "depthwise_conv"},
            (3, 3, 4, 2),
            lambda w: [w[:, :, c].reshape(9, 2) for c in range(4)],
        ),
        (
            {"kind": "conv_transpose"},
            (2, 2, 5, 3),
            lambda w: [w.transpose(0, 1, 3, 2).reshape(12, 5)],
        ),
    ],
    ids=["gates", "groups", "channels", "transposed"],
)
def test_each_block_has_orthonormal_columns(
    settings: dict, shape: tuple, matrices: object
) -> None:
    for matrix in matrices(values(ScaledOrthogonal(seed=0, **settings)(shape))):
        gram = matrix.T @ matrix
        np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-5)


@pytest.mark.parametrize("window", [(3,), (3, 3), (4, 4), (3, 3, 3)], ids=str)
def test_a_delta_orthogonal_convolution_keeps_the_norm_exactly(window: tuple) -> None:
    cls = {1: keras.layers.Conv1D, 2: keras.layers.Conv2D, 3: keras.layers.Conv3D}
    conv = cls[len(window)](
        6, window, padding="same", kernel_initializer=DeltaOrthogonal(seed=0)
    )
    x = np.random.default_rng(0).normal(size=(2, *[5] * len(window), 4))
    y = values(conv(x.astype("float32")))
    np.testing.assert_allclose(
        np.square(y).sum(axis=-1), np.square(x).sum(axis=-1), rtol=1e-4
    )


def test_a_delta_orthogonal_kernel_is_zero_off_its_centre() -> None:
    kernel = values(DeltaOrthogonal(seed=0)((3, 3, 4, 6)))
    assert np.count_nonzero(kernel) == np.count_nonzero(kernel[1, 1]) == 24


@pytest.mark.parametrize("shape", [(3, 3, 6, 4), (6, 4)], ids=str)
def test_a_delta_orthogonal_kernel_that_cannot_keep_the_norm_is_an_error(
    shape: tuple,
) -> None:
    with pytest.raises(ValueError, match="DeltaOrthogonal: `shape` must be .* Scaled"):
        DeltaOrthogonal()(shape)
