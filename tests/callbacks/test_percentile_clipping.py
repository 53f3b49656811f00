"""Percentile clipping against a transcription of its paper."""

from typing import Any

import keras
import numpy as np
import pytest

from keras_deeptools import attach
from keras_deeptools.callbacks import PercentileClipping

RATE = 0.1


def values(variables: Any) -> list[np.ndarray]:
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def some_gradients(num_updates: int) -> list[list[np.ndarray]]:
    generator = np.random.default_rng(0)
    return [
        [
            (scale * generator.normal(size=shape)).astype("float32")
            for shape in ((3, 2), (2,))
        ]
        for scale in np.exp(2 * generator.normal(size=num_updates))
    ]


def applied(clipping: Any, gradients: list[list[np.ndarray]]) -> list[np.ndarray]:
    variables = [keras.Variable(np.zeros(g.shape, "float32")) for g in gradients[0]]
    optimizer = keras.optimizers.SGD(RATE)
    optimizer.build(variables)
    with attach(optimizer, clipping):
        for each in gradients:
            optimizer.apply(list(map(keras.ops.convert_to_tensor, each)))
    return values(variables)


def of_the_paper(
    gradients: list[list[np.ndarray]], percentile: float, window: int
) -> tuple[list[np.ndarray], list[bool]]:
    """The weights after all updates, and which of these were clipped."""
    weights = [np.zeros(g.shape) for g in gradients[0]]
    history: list[float] = []
    clipped = []
    for each in gradients:
        norm = np.sqrt(sum((g.astype("float64") ** 2).sum() for g in each))
        history = [*history, norm][-window:]
        limit = np.percentile(history, percentile)
        clipped.append(bool(norm > limit * (1 + 1e-6)))
        factor = min(1.0, limit / norm)
        weights = [w - RATE * factor * g for w, g in zip(weights, each, strict=True)]
    return weights, clipped


@pytest.mark.parametrize(("percentile", "window"), [(10.0, 100), (75.0, 4)])
def test_updates_are_those_of_the_paper(percentile: float, window: int) -> None:
    gradients = some_gradients(12)
    clipping = PercentileClipping(percentile, window)
    found = applied(clipping, gradients)
    expected, clipped = of_the_paper(gradients, percentile, window)
    for this, that in zip(found, expected, strict=True):
        np.testing.assert_allclose(this, that, atol=1e-6, rtol=1e-6)
    assert f"{100 * np.mean(clipped):.1f}%" in clipping.table()


def test_a_norm_that_is_not_finite_is_counted_and_not_kept() -> None:
    gradients = some_gradients(6)
    broken = [np.full((3, 2), np.inf, "float32"), np.zeros(2, "float32")]
    clipping = PercentileClipping(50.0)
    found = applied(clipping, [*gradients[:3], broken, *gradients[3:]])
    expected, _ = of_the_paper(gradients, 50.0, 100)
    np.testing.assert_allclose(found[1], expected[1], atol=1e-6, rtol=1e-6)
    assert f"{100 / 7:.1f}%" in clipping.table()


@pytest.mark.one_backend
def test_the_history_has_a_line_for_each_epoch() -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 32, 3))
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
    model.compile("sgd", loss="mse")
    clipping = PercentileClipping(10)
    model.fit(x, y, 4, 3, 0, callbacks=[clipping])
    assert set(clipping.history) == {"clipped", "non_finite", "limit"}
    assert all(len(numbers) == 3 for numbers in clipping.history.values())
    assert list(clipping.limits.values()) == clipping.history["limit"][-1:]


@pytest.mark.one_backend
def test_accumulated_gradients_count_as_one() -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 32, 3))
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
    model.compile(keras.optimizers.SGD(0.1, gradient_accumulation_steps=4), loss="mse")
    clipping = PercentileClipping(1)
    # One update is all there is: its norm is its own limit.
    model.fit(x, y, 8, 1, 0, callbacks=[clipping])
    assert clipping.history["clipped"] == [0.0]


@pytest.mark.one_backend
@pytest.mark.parametrize("percentile", [0.0, 101.0])
def test_the_percentile_is_one(percentile: float) -> None:
    with pytest.raises(ValueError, match=r"PercentileClipping: .*in \(0, 100\]"):
        PercentileClipping(percentile)
