"""The noise scale and the sharpness of models whose values are known."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from keras_deeptools.callbacks import GradientNoiseScale, SharpnessMonitor

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4096, 3)).astype("float32")
Y = (X[:, :1] + RNG.normal(size=(4096, 1))).astype("float32")


def linear(rate: float = 0.0) -> keras.Model:
    model = keras.Sequential(
        [keras.Input((3,)), layers.Dense(1, use_bias=False, kernel_initializer="zeros")]
    )
    model.compile(keras.optimizers.SGD(rate), "mse")
    return model


def test_the_noise_scale_is_that_of_single_gradients() -> None:
    single = -2 * X * Y  # of (y - x w)^2 at w = 0
    mean = single.mean(axis=0)
    covariance = np.cov(single.T)
    monitor = GradientNoiseScale(X, Y, 4096, 64, seed=0)
    linear().fit(X, Y, 512, 1, 0, [monitor])
    found = {name: numbers[-1] for name, numbers in monitor.history.items()}
    assert found["squared_norm"] == pytest.approx(mean @ mean, rel=0.05)
    assert found["noise"] == pytest.approx(np.trace(covariance), rel=0.2)
    assert found["noise_scale"] == pytest.approx(found["noise"] / found["squared_norm"])
    assert "nearly half the updates" in monitor.table()


def test_the_sharpness_of_a_linear_model_is_the_largest_eigenvalue() -> None:
    x, y = X[:64], Y[:64]
    expected = np.linalg.eigvalsh(2 * x.T.astype("float64") @ x / 64)[-1]
    monitor = SharpnessMonitor(x, y, num_iterations=100, tolerance=1e-6, seed=0)
    model = linear(0.01)
    model.fit(x, y, 64, 2, 0, [monitor])
    np.testing.assert_allclose(monitor.history["sharpness"], expected, rtol=1e-3)
    assert f"{2 / expected:.3g}" in monitor.meaning()


@pytest.mark.alternates("unit")
@pytest.mark.parametrize("unit", ["epoch", "batch"])
def test_training_is_what_it_is_without_them(unit: str) -> None:
    def trained(*callbacks: Any) -> list[np.ndarray]:
        keras.utils.set_random_seed(1)
        parts = [layers.Dense(8), layers.BatchNormalization(), layers.Dropout(0.5)]
        model = keras.Sequential([keras.Input((3,)), *parts, layers.Dense(1)])
        model.compile("adam", "mse")
        model.fit(X[:64], Y[:64], 16, 2, 0, list(callbacks))
        return [np.array(keras.ops.convert_to_numpy(w)) for w in model.weights]

    monitors = [
        kind(X, Y, 64, 4, every=2, unit=unit)
        for kind in (GradientNoiseScale, SharpnessMonitor)
    ]
    for plain, watched in zip(trained(), trained(*monitors), strict=True):
        np.testing.assert_array_equal(plain, watched)
    counts = {"epoch": [2.0], "batch": [2.0, 4.0, 6.0, 8.0]}[unit]
    assert [monitor.history[unit] for monitor in monitors] == [counts, counts]


@pytest.mark.one_backend
def test_the_logs_have_the_latest_number_and_a_picture_is_drawn(tmp_path: Any) -> None:
    monitor = SharpnessMonitor(X[:32], Y[:32], seed=0)
    history = linear(0.01).fit(X[:64], Y[:64], 32, 2, 0, [monitor]).history
    assert history["sharpness"] == monitor.history["sharpness"]
    monitor.plot(str(tmp_path / "sharpness.png"))
    assert (tmp_path / "sharpness.png").stat().st_size


@pytest.mark.one_backend
def test_more_parts_than_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="GradientNoiseScale: `num_parts`"):
        GradientNoiseScale(X[:4], Y[:4], num_parts=8)
