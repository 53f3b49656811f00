"""Adaptive gradient clipping against the formula of its paper."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from keras_deeptools import attach
from keras_deeptools.callbacks import AdaptiveGradientClipping

RATE = 0.1


def values(variables: Any) -> list[np.ndarray]:
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def network() -> keras.Model:
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            layers.Conv2D(3, 3, name="filters"),
            layers.Conv2DTranspose(4, 3, name="transposed"),
            layers.Flatten(),
            layers.Dense(5, name="hidden"),
            layers.LayerNormalization(name="norm"),
            layers.Dense(2, name="last"),
            layers.Softmax(),
        ]
    )
    model.compile(keras.optimizers.SGD(RATE), loss="mse")
    model.optimizer.build(model.trainable_variables)
    return model


AXES = {
    "filters/kernel": (0, 1, 2),
    "transposed/kernel": (0, 1, 3),
    "hidden/kernel": (0,),
    "last/kernel": (0,),
}


def of_the_paper(
    path: str, gradient: np.ndarray, weight: np.ndarray, factor: float
) -> np.ndarray:
    """Equation 3, with epsilon 1e-3; a vector is one unit."""
    axes = AXES.get("/".join(path.split("/")[-2:]))
    norm, size = (
        np.sqrt((array**2).sum(axes, keepdims=True)) for array in (gradient, weight)
    )
    limit = factor * np.maximum(size, 1e-3)
    return np.where(norm > limit, limit / norm * gradient, gradient)


@pytest.mark.parametrize("layers_argument", [None, "*"])
def test_updates_are_those_of_the_paper(layers_argument: str | None) -> None:
    model, generator = network(), np.random.default_rng(0)
    names = [variable.path for variable in model.trainable_variables]
    weights = [value.astype("float64") for value in values(model.trainable_variables)]
    clipping = AdaptiveGradientClipping(0.2, layers=layers_argument)
    with attach(model, clipping):
        for scale in (0.01, 0.1, 1.0, 100.0):
            gradients = [
                (scale * generator.normal(size=w.shape)).astype("float32")
                for w in weights
            ]
            model.optimizer.apply(
                list(map(keras.ops.convert_to_tensor, gradients)),
                model.trainable_variables,
            )
            for i, (name, gradient) in enumerate(zip(names, gradients, strict=True)):
                if layers_argument is not None or "last" not in name:
                    gradient = of_the_paper(name, gradient, weights[i], 0.2)
                weights[i] = weights[i] - RATE * gradient
    for found, expected in zip(values(model.trainable_variables), weights, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6, rtol=1e-6)
    assert any("last" in path for path in clipping.activity) == bool(layers_argument)


@pytest.mark.one_backend
def test_a_gradient_within_its_limit_keeps_every_bit() -> None:
    found = []
    x = np.random.default_rng(0).normal(size=(8, 6, 6, 2))
    for callbacks in ([], [AdaptiveGradientClipping(1e6)]):
        model = network()
        model.fit(x, np.ones((8, 2)), 4, 2, 0, callbacks=callbacks, shuffle=False)
        found.append(values(model.trainable_variables))
    for plain, clipped in zip(*found, strict=True):
        np.testing.assert_array_equal(plain, clipped)


def test_activity_is_the_fraction_of_units_over_their_limits() -> None:
    model = keras.Sequential([keras.Input((2,)), layers.Dense(4, name="d")])
    model.compile(keras.optimizers.SGD(0.0), loss="mse")
    model.layers[0].kernel.assign(np.ones((2, 4)))
    clipping = AdaptiveGradientClipping(0.5, layers="*/kernel")
    # The gradients of two of four units are 0.5 ||(1, 1)|| or less.
    gradient = np.array([[0.1, 0.4, 2.0, 5.0]] * 2, "float32")
    with attach(model, clipping):
        model.optimizer.apply(
            [keras.ops.convert_to_tensor(gradient), keras.ops.zeros((4,))],
            model.trainable_variables,
        )
        assert list(clipping.activity.values()) == [0.5]
    assert "50.0%" in clipping.table()


@pytest.mark.one_backend
def test_a_non_finite_gradient_reaches_no_other_unit() -> None:
    model = keras.Sequential([keras.Input((2,)), layers.Dense(2, name="d")])
    model.compile(keras.optimizers.SGD(1.0), loss="mse")
    gradient = np.array([[np.nan, 1e-4], [1.0, 1e-4]], "float32")
    model.optimizer.build(model.trainable_variables)
    before = values(model.trainable_variables)[0]
    with attach(model, AdaptiveGradientClipping(layers="*")):
        model.optimizer.apply(
            [keras.ops.convert_to_tensor(gradient), keras.ops.zeros((2,))],
            model.trainable_variables,
        )
    after = values(model.trainable_variables)[0]
    assert np.isnan(after[0, 0])
    np.testing.assert_allclose(after[:, 1], before[:, 1] - 1e-4, atol=1e-6)


@pytest.mark.one_backend
def test_the_layers_of_a_subclassed_models_outputs_are_left_out() -> None:
    class Two(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.last, self.first = layers.Dense(1), layers.Dense(3)

        def call(self, x: Any) -> Any:
            return self.last(self.first(x))

    model = Two()
    model.compile("sgd", loss="mse")
    clipping = AdaptiveGradientClipping()
    model.fit(np.ones((8, 2)), np.ones((8, 1)), verbose=0, callbacks=[clipping])
    held = {variable.path for variable in model.first.weights}
    assert set(clipping.activity) == held


@pytest.mark.one_backend
def test_what_is_unfrozen_later_is_clipped_too() -> None:
    model = network()
    model.get_layer("hidden").trainable = False
    model.compile("sgd", loss="mse")
    clipping = AdaptiveGradientClipping()
    x = np.random.default_rng(0).normal(size=(8, 6, 6, 2))
    model.fit(x, np.ones((8, 2)), verbose=0, callbacks=[clipping])
    assert not any("hidden" in path for path in clipping.activity)
    model.get_layer("hidden").trainable = True
    model.compile("sgd", loss="mse")
    model.fit(x, np.ones((8, 2)), verbose=0, callbacks=[clipping])
    assert any("hidden" in path for path in clipping.activity)


@pytest.mark.one_backend
def test_the_factor_must_be_positive() -> None:
    with pytest.raises(ValueError, match="AdaptiveGradientClipping: `clipping_factor`"):
        AdaptiveGradientClipping(0.0)
