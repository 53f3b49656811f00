import keras
import numpy as np
import pytest
import torch

from keras_deeptools.pretraining import NTXent
from keras_deeptools.pretraining._pretrain_contrastive import (
    alignment,
    contrastive_accuracy,
    on_sphere,
    similarities,
    uniformity,
)

generator = np.random.default_rng(0)
FIRST, SECOND = generator.normal(size=(2, 6, 4)).astype("float32")


def by_hand(first: np.ndarray, second: np.ndarray, temperature: float) -> np.ndarray:
    """Equation 1 of the paper, pair by pair; the mean of both directions."""
    z = np.concatenate([first, second]).astype("float64")
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    n = len(first)
    losses = []
    for i in range(2 * n):
        j = (i + n) % (2 * n)
        others = [k for k in range(2 * n) if k != i]
        total = sum(np.exp(z[i] @ z[k] / temperature) for k in others)
        losses.append(-np.log(np.exp(z[i] @ z[j] / temperature) / total))
    return np.reshape(losses, (2, n)).mean(axis=0)


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_it_is_equation_1_of_the_paper(temperature: float) -> None:
    expected = by_hand(FIRST, SECOND, temperature)
    rows = NTXent(temperature, reduction="none")(FIRST, SECOND)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(rows), expected, rtol=1e-5)
    mean = keras.ops.convert_to_numpy(NTXent(temperature)(FIRST, SECOND))
    np.testing.assert_allclose(mean, expected.mean(), rtol=1e-5)


def test_it_is_the_cross_entropy_of_finding_the_partner() -> None:
    views = torch.cat([torch.from_numpy(FIRST), torch.from_numpy(SECOND)])
    views = torch.nn.functional.normalize(views, dim=1)
    logits = (views @ views.T / 0.2).fill_diagonal_(-torch.inf)
    partners = torch.arange(12).roll(6)
    expected = float(torch.nn.functional.cross_entropy(logits, partners))
    found = float(keras.ops.convert_to_numpy(NTXent(0.2)(FIRST, SECOND)))
    assert abs(found - expected) < 1e-5


def test_half_precision_and_long_vectors_do_not_spoil_it() -> None:
    expected = by_hand(FIRST, SECOND, 0.01).mean()
    keras.config.set_dtype_policy("mixed_float16")
    loss = NTXent(0.01)
    half = [keras.ops.cast(1000 * view, "float16") for view in (FIRST, SECOND)]
    found = keras.ops.convert_to_numpy(loss(*half))
    assert found.dtype == "float32"
    np.testing.assert_allclose(found, expected, rtol=1e-2)


def test_vectors_of_zeros_give_a_finite_loss() -> None:
    zeros = np.zeros((3, 2), "float32")
    found = float(keras.ops.convert_to_numpy(NTXent()(zeros, zeros)))
    assert abs(found - np.log(5)) < 1e-4


def test_measures_are_what_they_are_defined_as() -> None:
    second = FIRST + 0.3 * SECOND
    cosines = similarities(
        *(on_sphere(keras.ops.convert_to_tensor(v)) for v in (FIRST, second))
    )
    z = np.concatenate([FIRST, second]).astype("float64")
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    distances = ((z[:, None] - z[None]) ** 2).sum(axis=-1)
    np.fill_diagonal(distances, np.inf)
    partners = (np.arange(12) + 6) % 12
    expected = {
        contrastive_accuracy: (distances.argmin(axis=1) == partners).mean(),
        alignment: distances[np.arange(12), partners].mean(),
        uniformity: np.log(np.exp(-2 * distances).sum() / (12 * 11)),
    }
    for measure, value in expected.items():
        found = keras.ops.convert_to_numpy(measure(cosines))
        np.testing.assert_allclose(found, value, rtol=1e-4)


def test_a_temperature_of_zero_is_refused() -> None:
    with pytest.raises(
        ValueError, match="NTXent: `temperature` must be a finite float"
    ):
        NTXent(0)
