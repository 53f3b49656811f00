"""Statistics of BatchNormalization for weights that training has not visited."""

import keras
import numpy as np
import pytest

from keras_deeptools.callbacks import WeightAveraging
from keras_deeptools.layers import update_batch_norm

X = np.random.default_rng(0).normal(3.0, 2.0, size=(64, 4)).astype("float32")
Y = X[:, :1]


def make_model(**options: object) -> keras.Model:
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.BatchNormalization(**options),
            keras.layers.Dense(3, "relu"),
            keras.layers.Dropout(0.5),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.SGD(0.05), "mse")
    return model


def statistics(model: keras.Model) -> list[np.ndarray]:
    """Mean and variance of both layers."""
    layers = [model.layers[0], model.layers[3]]
    variables = [v for one in layers for v in (one.moving_mean, one.moving_variance)]
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def exact(model: keras.Model, x: np.ndarray) -> list[np.ndarray]:
    """The statistics over all rows as one batch, in numpy."""
    kernel, bias = (keras.ops.convert_to_numpy(v) for v in model.layers[1].variables)
    gamma, beta = (keras.ops.convert_to_numpy(v) for v in model.layers[0].variables[:2])
    mean, variance = x.mean(0), x.var(0)
    hidden = gamma * (x - mean) / np.sqrt(variance + model.layers[0].epsilon) + beta
    hidden = np.maximum(hidden @ kernel + bias, 0)
    return [mean, variance, hidden.mean(0), hidden.var(0)]


def test_the_statistics_are_those_of_the_rows_without_dropout() -> None:
    model = make_model()
    assert update_batch_norm(model, X) == 2
    for found, expected in zip(statistics(model), exact(model, X), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_batches_are_pooled_and_a_last_one_of_fewer_rows_is_left_out() -> None:
    model = make_model()
    update_batch_norm(model, X, batch_size=24)
    mean, variance = statistics(model)[:2]
    np.testing.assert_allclose(mean, X[:48].mean(0), rtol=1e-5)
    np.testing.assert_allclose(variance, X[:48].var(0), rtol=1e-4)


def test_nothing_else_of_the_model_changes() -> None:
    model = make_model(momentum=0.9)
    before = [np.array(keras.ops.convert_to_numpy(v)) for v in model.variables]
    update_batch_norm(model, X)
    seen = {id(v) for i in (0, 3) for v in model.layers[i].non_trainable_variables}
    for variable, value in zip(model.variables, before, strict=True):
        if id(variable) not in seen:
            np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), value)
    assert model.layers[0].momentum == 0.9
    assert "call" not in vars(model.layers[0])


def test_a_frozen_layer_keeps_its_statistics() -> None:
    model = make_model()
    model.layers[0].trainable = False
    assert update_batch_norm(model, X) == 1
    np.testing.assert_array_equal(statistics(model)[0], np.zeros(4))


def test_a_model_without_batch_normalization_is_left_alone() -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    assert update_batch_norm(model, X) == 0


def test_shown_averages_have_statistics_of_their_own() -> None:
    model = make_model()
    averaging = WeightAveraging(None, batch_norm_data=X)
    history = model.fit(
        X, Y, epochs=2, validation_data=(X, Y), callbacks=[averaging], verbose=0
    ).history
    for found, expected in zip(statistics(model), exact(model, X), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)
    loss = model.evaluate(X, Y, verbose=0)
    np.testing.assert_allclose(loss, history["val_loss"][-1], rtol=1e-5)


def test_training_goes_on_with_the_statistics_of_its_own_weights() -> None:
    data = {"x": X, "y": Y, "epochs": 2, "shuffle": False, "verbose": 0}
    plain = make_model()
    plain.fit(**data, validation_data=(X, Y))
    averaging = WeightAveraging(None, batch_norm_data=X, kept=False)
    model = make_model()
    model.fit(**data, validation_data=(X, Y), callbacks=[averaging])
    for found, expected in zip(statistics(model), statistics(plain), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_mean_of_weights_without_data_for_the_statistics_is_warned_of() -> None:
    with pytest.warns(UserWarning, match="WeightAveraging: .*update_batch_norm"):
        make_model().fit(X, Y, callbacks=[WeightAveraging(None)], verbose=0)


def test_what_is_no_model_is_named() -> None:
    with pytest.raises(TypeError, match="update_batch_norm: `model` must be a keras"):
        update_batch_norm(keras.layers.Dense(1), X)
