"""WeightNormalization and Maxout against numpy."""

import keras
import numpy as np
import pytest

from keras_deeptools.layers import (
    Maxout,
    WeightNormalization,
    initialize_weight_normalization,
)

LAYERS = {
    "dense": (lambda: keras.layers.Dense(3), (5,)),
    "conv": (lambda: keras.layers.Conv2D(3, 3, padding="same"), (6, 6, 2)),
    "transposed": (lambda: keras.layers.Conv1DTranspose(3, 3), (6, 2)),
    "depthwise": (
        lambda: keras.layers.DepthwiseConv2D(3, depth_multiplier=2),
        (6, 6, 2),
    ),
    "einsum": (
        lambda: keras.layers.EinsumDense("abc,cd->abd", (None, 3), bias_axes="d"),
        (4, 5),
    ),
}
RANDOM = np.random.default_rng(0)


def numbers(value: object) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(value))


@pytest.mark.parametrize("name", LAYERS)
def test_wrapping_changes_no_output_and_the_gain_scales_each_unit(name: str) -> None:
    make, shape = LAYERS[name]
    x = RANDOM.normal(size=(4, *shape)).astype("float32")
    layer = WeightNormalization(make())
    y, plain = numbers(layer(x)), numbers(layer.layer(x))
    np.testing.assert_allclose(y, plain, atol=1e-5)
    layer.gain.assign(2 * layer.gain)
    np.testing.assert_allclose(numbers(layer(x)), 2 * plain, atol=1e-5)


def test_the_gradient_of_the_direction_is_orthogonal_to_it() -> None:
    layer = WeightNormalization(keras.layers.Dense(3))
    model = keras.Sequential([keras.Input((5,)), layer])
    model.compile(keras.optimizers.SGD(1e-2), "mse")
    before = numbers(layer.layer.kernel)
    gains = numbers(layer.gain)
    model.fit(RANDOM.normal(size=(8, 5)), RANDOM.normal(size=(8, 3)), verbose=0)
    step = numbers(layer.layer.kernel) - before
    assert (
        np.abs(step).max() > 1e-4 and np.abs(numbers(layer.gain) - gains).max() > 1e-4
    )
    np.testing.assert_allclose((step * before).sum(0), 0, atol=1e-6)


def test_initialization_gives_every_unit_mean_0_and_variance_1() -> None:
    layers = [
        WeightNormalization(keras.layers.Conv2D(4, 3, activation="relu"))
        for _ in range(2)
    ]
    model = keras.Sequential([keras.Input((8, 8, 2)), *layers])
    x = RANDOM.normal(3, 5, size=(16, 8, 8, 2)).astype("float32")
    assert initialize_weight_normalization(model, x) == 2
    features = numbers(layers[0](x))
    layers[1].layer.activation = keras.activations.linear
    y = numbers(layers[1](features))
    np.testing.assert_allclose(y.mean((0, 1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(y.std((0, 1, 2)), 1, atol=1e-3)


def test_a_model_with_the_layers_trains_saves_loads_and_is_cloned(tmp_path) -> None:
    dense = keras.layers.Dense(4, kernel_regularizer="l2")
    model = keras.Sequential([keras.Input((6,)), WeightNormalization(dense), Maxout(2)])
    model.compile("sgd", "mse")
    x = RANDOM.normal(size=(16, 6)).astype("float32")
    model.fit(x, np.zeros((16, 2)), epochs=2, batch_size=8, verbose=0)
    assert model.layers[0].losses
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    copied = keras.models.clone_model(model)
    copied.set_weights(model.get_weights())
    for other in (again, copied):
        np.testing.assert_allclose(
            other.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-5
        )


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_computes_in_its_dtype(dtype: str) -> None:
    layer = WeightNormalization(keras.layers.Dense(3, dtype=dtype), dtype=dtype)
    x = RANDOM.normal(size=(4, 5)).astype("float32")
    y = layer(x)
    assert keras.backend.standardize_dtype(y.dtype) == dtype.removeprefix("mixed_")
    expected = x @ numbers(layer.layer.kernel)
    np.testing.assert_allclose(
        numbers(keras.ops.cast(y, "float32")), expected, atol=0.05
    )


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "layer, error",
    [
        (keras.layers.ReLU(), "must be a layer with a `kernel`"),
        (3, "must be a `keras.Layer`"),
        (keras.layers.Dense(2, activity_regularizer="l2"), "Give it to WeightNorm"),
    ],
)
def test_a_layer_that_cannot_be_wrapped_is_an_error(layer: object, error: str) -> None:
    with pytest.raises((TypeError, ValueError), match=error):
        WeightNormalization(layer).build((None, 3))


@pytest.mark.parametrize("axis", [-1, 1])
def test_maxout_is_the_largest_of_neighbouring_channels(axis: int) -> None:
    x = RANDOM.normal(size=(3, 6, 5, 6)).astype("float32")
    moved = np.moveaxis(x, axis, -1)
    expected = moved.reshape(*moved.shape[:-1], 2, 3).max(-1)
    inputs = keras.Input(x.shape[1:])
    model = keras.Model(inputs, Maxout(3, axis)(inputs))
    y = np.moveaxis(model.predict(x, verbose=0), axis, -1)
    np.testing.assert_array_equal(y, expected)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "make, error",
    [
        (lambda: Maxout(1), "`num_pieces` must be an integer >= 2"),
        (lambda: Maxout(4)(np.ones((1, 6))), "a divisor of the 6 channels"),
        (lambda: Maxout(2, 0)(np.ones((2, 6))), "`axis` must be an axis"),
    ],
)
def test_maxout_that_does_not_divide_its_channels_is_an_error(make, error) -> None:
    with pytest.raises(ValueError, match=error):
        make()
