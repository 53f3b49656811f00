"""A layer that was frozen without compiling again is left as it is."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_deeptools import attach
from keras_deeptools.callbacks import (
    GradientClipper,
    GradientMonitor,
    MaxNormEnforcer,
    WeightAveraging,
)
from keras_deeptools.transfer import DiscriminativeLearningRates

X = np.random.default_rng(0).normal(size=(24, 5)).astype("float32")
Y = 9.0 * X[:, :2]


def build() -> keras.Model:
    model = keras.Sequential(
        [
            keras.Input((5,)),
            layers.Dense(4, "tanh", name="frozen"),
            layers.Dense(2, name="head"),
        ]
    )
    for k, variable in enumerate(model.trainable_variables):
        variable.assign(np.random.default_rng(k).normal(size=variable.shape))
    model.compile(keras.optimizers.SGD(0.05), "mse")
    return model


def fit(model: keras.Model, *callbacks: object, epochs: int = 1) -> None:
    model.fit(X, Y, 8, epochs, 0, callbacks=list(callbacks), shuffle=False)


def frozen_after_fit(model: keras.Model | None = None) -> keras.Model:
    """A model whose first layer was frozen between two calls of `fit`."""
    model = model or build()
    fit(model)
    model.get_layer("frozen").trainable = False
    if keras.backend.backend() == "jax":
        # Keras itself refuses to go on there, until the model is compiled anew.
        optimizer = model.optimizer
        model.compile(type(optimizer).from_config(optimizer.get_config()), "mse")
    return model


CALLBACKS = {
    "MaxNormEnforcer": lambda: MaxNormEnforcer(0.1),
    "GradientClipper": lambda: GradientClipper(0.1, 0.1, 0.1),
    "GradientMonitor": lambda: GradientMonitor(on_problem="raise"),
    "WeightAveraging": lambda: WeightAveraging(0.5),
    "mean of weights": lambda: WeightAveraging(None, start=1),
}


@pytest.mark.alternates("kind")
@pytest.mark.parametrize("kind", CALLBACKS)
def test_a_layer_frozen_after_a_fit_keeps_every_bit_in_the_next_with(kind: str) -> None:
    model = frozen_after_fit()
    layer, head = model.get_layer("frozen"), model.get_layer("head")
    before = [layer.get_weights(), head.get_weights()]
    fit(model, CALLBACKS[kind](), epochs=2)
    for old, new in zip(before[0], layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert not np.array_equal(before[1][0], head.get_weights()[0])


def test_what_still_trains_stays_in_the_ball() -> None:
    model, enforcer = frozen_after_fit(), MaxNormEnforcer(0.1)
    fit(model, enforcer)
    norms = np.linalg.norm(model.get_layer("head").get_weights()[0], axis=0)
    assert norms.max() <= 0.1 * (1 + 1e-6)
    parts = {path.split("/")[-2]: part for path, part in enforcer.activity.items()}
    assert parts.get("frozen", 0.0) == 0.0 and parts["head"] == 1.0


def test_a_layer_frozen_later_has_no_rate_of_its_own_group() -> None:
    model = build()
    groups = [[layer] for layer in model.layers]
    optimizer = DiscriminativeLearningRates(
        keras.optimizers.AdamW(0.01), groups=groups, multipliers=[0.5, 1.0]
    )
    model.compile(optimizer, "mse")
    model = frozen_after_fit(model)
    before = model.get_layer("frozen").get_weights()
    fit(model, GradientClipper(global_norm=0.5))
    for old, new in zip(before, model.get_layer("frozen").get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_layer_frozen_before_a_loop_of_ones_own_is_left_alone() -> None:
    model = frozen_after_fit()
    before = model.get_layer("frozen").get_weights()
    with attach(model, MaxNormEnforcer(0.1), WeightAveraging(0.5)):
        for _ in range(3):
            model.train_on_batch(X, Y)
    for old, new in zip(before, model.get_layer("frozen").get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
