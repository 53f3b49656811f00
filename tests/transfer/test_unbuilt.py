"""Models that the first step builds: they work, or say how to build them."""

from collections.abc import Callable

import keras
import numpy as np
import pytest

from keras_deeptools.transfer import (
    DiscriminativeLearningRates,
    GradualUnfreezing,
    cache_features,
    fine_tune,
    freeze,
    freeze_to,
    layer_groups,
    probe_depth,
    unfreeze,
)

layers = keras.layers
X = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
Y = np.arange(8) % 2


def network(*first: keras.KerasTensor) -> keras.Sequential:
    def dense(units: int, seed: int, activation: str) -> keras.Layer:
        start = keras.initializers.GlorotUniform(seed)
        return layers.Dense(units, activation, kernel_initializer=start)

    return keras.Sequential([*first, dense(4, 1, "relu"), dense(2, 2, "softmax")])


def trained(model: keras.Sequential) -> list[np.ndarray]:
    rates = DiscriminativeLearningRates(
        keras.optimizers.SGD(0.5),
        groups=[model.layers[-2:-1], model.layers[-1:]],
        multipliers=[0.1, 1.0],
    )
    model.compile(rates, "sparse_categorical_crossentropy")
    model.fit(X, Y, epochs=2, batch_size=4, shuffle=False, verbose=0)
    assert "20" in rates.table() and "10" in rates.table()
    return [np.array(each) for each in model.get_weights()]


def test_rates_by_layer_are_those_of_the_model_that_is_built_before() -> None:
    unbuilt, built = network(), network(keras.Input((4,)))
    for this, that in zip(trained(unbuilt), trained(built), strict=True):
        np.testing.assert_allclose(this, that, atol=1e-6)


USES: dict[str, Callable] = {
    "fine_tune": lambda model: fine_tune(model, X, Y, epochs=1),
    "freeze": freeze,
    "unfreeze": unfreeze,
    "freeze_to": lambda model: freeze_to(model, -1),
    "layer_groups": layer_groups,
    "probe_depth": lambda model: probe_depth(model, X, Y),
    "DiscriminativeLearningRates": lambda model: DiscriminativeLearningRates(
        "sgd", slice(1e-3, 1e-1), model
    ),
}


@pytest.mark.parametrize("use", USES)
def test_a_model_that_is_not_built_is_told_how_to_build_it(use: str) -> None:
    with pytest.raises(ValueError, match="(B|b)uilt.*an Input, or call it on a batch"):
        USES[use](network())


def test_features_of_a_model_that_is_not_built_are_refused() -> None:
    with pytest.raises(ValueError, match="`model` must have a graph"):
        cache_features(network(), X, Y)


def test_gradual_unfreezing_goes_by_a_model_that_was_called_on_a_batch() -> None:
    model = network()
    model(X[:2])
    model.compile("sgd", "sparse_categorical_crossentropy")
    unfreezing = GradualUnfreezing(epochs=[1])
    model.fit(X, Y, epochs=2, callbacks=[unfreezing], verbose=0)
    assert [phase.num_parameters for phase in unfreezing.history] == [10, 30]
