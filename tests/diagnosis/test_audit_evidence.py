"""What findings say of Keras, where one call shows it; a new Keras may change it."""

import keras
import numpy as np
import pytest

SGD = keras.optimizers.SGD


def after_updates(optimizer: keras.optimizers.Optimizer, num_updates: int = 1) -> float:
    """A weight that starts at 0 after updates with a gradient of -10."""
    weight = keras.Variable(0.0)
    optimizer.build([weight])
    for _ in range(num_updates):
        optimizer.apply([keras.ops.convert_to_tensor(-10.0)], [weight])
    return float(keras.ops.convert_to_numpy(weight))


def test_of_several_kinds_of_clipping_the_first_is_applied() -> None:
    optimizer = SGD(1.0, clipnorm=2.0)
    optimizer.global_clipnorm, optimizer.clipvalue = 1.0, 0.5
    assert after_updates(optimizer) == pytest.approx(2.0)
    optimizer = SGD(1.0, global_clipnorm=2.0)
    optimizer.clipvalue = 0.5
    assert after_updates(optimizer) == pytest.approx(2.0)


def test_a_schedule_counts_batches_under_accumulation() -> None:
    rate = keras.optimizers.schedules.PiecewiseConstantDecay([2], [1.0, 0.0])
    # The first update, at the fourth batch, is past the boundary already.
    assert after_updates(SGD(rate, gradient_accumulation_steps=4), 4) == 0.0
    assert after_updates(SGD(rate), 1) == 10.0


def test_a_momentum_without_velocities_fails() -> None:
    optimizer = SGD(1.0)
    optimizer.build([keras.Variable(0.0)])
    optimizer.momentum = 0.9
    with pytest.raises(IndexError):
        optimizer.apply([keras.ops.convert_to_tensor(1.0)])


def test_a_constraint_on_a_built_layer_does_not_reach_its_weights() -> None:
    layer = keras.layers.Dense(2)
    layer.build((None, 3))
    layer.kernel_constraint = keras.constraints.MaxNorm(1.0)
    assert layer.kernel.constraint is None


@pytest.mark.parametrize("cls", ["AlphaDropout", "GaussianDropout"])
def test_a_dropout_rate_of_one_passes_validation_and_fails_in_training(
    cls: str,
) -> None:
    layer = getattr(keras.layers, cls)(1.0)
    with pytest.raises(ZeroDivisionError):
        layer(np.ones((2, 3), "float32"), training=True)


def test_training_true_in_a_functional_model_is_overridden() -> None:
    inputs = keras.Input((50,))
    model = keras.Model(inputs, keras.layers.Dropout(0.5)(inputs, training=True))
    x = np.ones((2, 50), "float32")
    np.testing.assert_array_equal(model.predict(x, verbose=0), x)


def test_a_base_called_with_training_false_drifts_in_fit() -> None:
    norm = keras.layers.BatchNormalization()
    base = keras.Sequential([keras.Input((3,)), norm])
    inputs = keras.Input((3,))
    model = keras.Model(inputs, base(inputs, training=False))
    model.compile("sgd", "mse")
    model.fit(np.full((8, 3), 5.0), np.ones((8, 3)), verbose=0)
    assert keras.ops.convert_to_numpy(norm.moving_mean).min() > 0


def test_two_dropouts_with_one_seed_drop_the_same() -> None:
    x = np.ones((4, 50), "float32")
    first, second = (
        keras.ops.convert_to_numpy(keras.layers.Dropout(0.5, seed=1)(x, training=True))
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)


def test_a_bias_before_a_normalization_gets_no_gradient() -> None:
    dense, norm = keras.layers.Dense(3), keras.layers.BatchNormalization()
    model = keras.Sequential([keras.Input((4,)), dense, norm, keras.layers.ReLU()])
    model.compile(SGD(1.0), "mse")
    x = np.random.default_rng(0).normal(size=(16, 4))
    model.fit(x, x[:, :3], verbose=0)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(dense.bias), 0, atol=1e-5)
