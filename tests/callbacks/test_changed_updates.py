"""CautiousUpdates and GradientCentralizer against their papers."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from keras_deeptools import attach
from keras_deeptools.callbacks import (
    CautiousUpdates,
    GradientCentralizer,
    GradientMonitor,
)

RNG = np.random.default_rng(0)


def values(variables: Any) -> list[np.ndarray]:
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def applied(optimizer: Any, gradients: list[np.ndarray], *features: Any) -> np.ndarray:
    weight = keras.Variable(np.ones(6, "float32"))
    optimizer.build([weight])
    with attach(optimizer, *features):
        for gradient in gradients:
            optimizer.apply([keras.ops.convert_to_tensor(gradient)])
    return values([weight])[0]


def test_cautious_updates_of_adamw_are_those_of_the_paper() -> None:
    gradients = [RNG.normal(size=6).astype("float32") for _ in range(20)]
    rate, decay, b1, b2 = 0.05, 0.1, 0.9, 0.999
    w, m, v = np.ones(6), np.zeros(6), np.zeros(6)
    for t, g in enumerate(gradients, 1):
        w = w - rate * decay * w
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        step = (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + 1e-7)
        mask = (m * g > 0).astype(float)
        w = w - rate * step * mask / max(mask.mean(), 1e-3)
    optimizer = keras.optimizers.AdamW(rate, weight_decay=decay)
    found = applied(optimizer, gradients, CautiousUpdates())
    np.testing.assert_allclose(found, w, atol=1e-5)


@pytest.mark.one_backend
def test_plain_sgd_is_cautious_already() -> None:
    gradients = [RNG.normal(size=6).astype("float32") for _ in range(5)]
    plain = applied(keras.optimizers.SGD(0.1), gradients, GradientMonitor())
    cautious = applied(keras.optimizers.SGD(0.1), gradients, CautiousUpdates())
    np.testing.assert_allclose(cautious, plain, atol=1e-6)


def model_of(*parts: keras.Layer, shape: tuple[int, ...]) -> keras.Model:
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input(shape), *parts])
    model.compile(keras.optimizers.SGD(0.5), loss="mse")
    return model


@pytest.mark.one_backend
def test_the_monitor_sees_the_masked_updates() -> None:
    x, y = RNG.normal(size=(24, 3)), RNG.normal(size=(24, 4))
    ratios = []
    for features in ([], [CautiousUpdates()]):
        model = model_of(layers.Dense(4), shape=(3,))
        model.compile(keras.optimizers.SGD(0.1, momentum=0.99), loss="mse")
        before, monitor = values(model.weights), GradientMonitor(on_problem="ignore")
        model.fit(x, y, 24, 1, 0, callbacks=[*features, monitor])
        change = values(model.weights)[0] - before[0]
        ratio = np.linalg.norm(change) / np.linalg.norm(before[0])
        ratios.append((ratio, float(monitor.history["update_ratio"][0][0])))
    for ratio, seen in ratios:
        assert seen == pytest.approx(ratio, rel=1e-4)


@pytest.mark.one_backend
def test_only_chosen_layers_are_cautious() -> None:
    x, y = RNG.normal(size=(24, 3)), RNG.normal(size=(24, 4))
    found = []
    for features in ([], [CautiousUpdates("last")]):
        parts = layers.Dense(5, name="first"), layers.Dense(4, name="last")
        model = model_of(*parts, shape=(3,))
        model.compile("lion", loss="mse")
        model.fit(x, y, 4, 1, 0, callbacks=features, shuffle=False)
        found.append(values(model.weights))
    plain, cautious = found
    assert not np.allclose(plain[2], cautious[2])


CENTRALIZED = {
    "dense": ([layers.Dense(4)], (3,), 0),
    "convolution": ([layers.Conv2D(2, 3)], (5, 5, 2), (0, 1, 2)),
}


@pytest.mark.parametrize("kind", CENTRALIZED)
def test_the_sum_of_a_units_incoming_weights_stays(kind: str) -> None:
    parts, shape, axes = CENTRALIZED[kind]
    parts = [type(part).from_config(part.get_config()) for part in parts]
    model = model_of(*parts, shape=shape)
    before = values(model.weights)
    x = RNG.normal(size=(8, *shape))
    y = RNG.normal(size=(8, *model.output_shape[1:]))
    model.fit(x, y, 4, 2, 0, callbacks=[GradientCentralizer()])
    kernel, bias = values(model.weights)
    np.testing.assert_allclose(kernel.sum(axes), before[0].sum(axes), atol=1e-5)
    assert not np.allclose(kernel, before[0])
    assert not np.allclose(bias.sum(), before[1].sum())


def test_embeddings_and_gains_are_not_centralized() -> None:
    found = []
    for features in ([], [GradientCentralizer()]):
        keras.utils.set_random_seed(1)
        parts = [layers.Embedding(5, 3), layers.GlobalAveragePooling1D()]
        parts += [layers.LayerNormalization()]
        model = keras.Sequential([keras.Input((4,), dtype="int32"), *parts])
        model.compile(keras.optimizers.SGD(0.5), loss="mse")
        ids = np.array([[0, 1, 1, 2]] * 4)
        model.fit(ids, np.ones((4, 3)), 4, 2, 0, callbacks=features)
        found.append(values(model.weights))
    for plain, centralized in zip(*found, strict=True):
        np.testing.assert_array_equal(plain, centralized)
