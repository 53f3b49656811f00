"""StochasticDepth and DropBlock2D: the statistics of what they drop."""

import keras
import numpy as np
import pytest

from keras_deeptools.layers import DropBlock2D, StochasticDepth, linear_stochastic_depth
from keras_deeptools.layers._drop_block import block_probability
from keras_deeptools.uncertainty import mc_predict


def dropped(layer: keras.Layer, *shape: int) -> np.ndarray:
    """Outputs in training for inputs of one."""
    y = layer(np.ones(shape, "float32"), training=True)
    return keras.ops.convert_to_numpy(keras.ops.cast(y, "float32"))


def test_stochastic_depth_drops_whole_samples_at_its_rate() -> None:
    y = dropped(StochasticDepth(0.3, seed=1), 4000, 2, 3)
    assert (np.ptp(y.reshape(4000, -1), axis=1) == 0).all()
    assert abs((y[:, 0, 0] == 0).mean() - 0.3) < 0.03
    np.testing.assert_allclose(y.max(), 1 / 0.7, rtol=1e-6)


@pytest.mark.one_backend
def test_stochastic_depth_passes_a_mask_on() -> None:
    inputs = keras.Input((5,))
    x = keras.layers.Embedding(10, 3, mask_zero=True)(inputs)
    x = keras.layers.GlobalAveragePooling1D()(StochasticDepth(0.2)(x))
    model = keras.Model(inputs, x)
    short, padded = np.array([[1, 2, 3, 4, 4]]), np.array([[1, 2, 0, 0, 0]])
    table = keras.ops.convert_to_numpy(model.layers[1].embeddings)
    np.testing.assert_allclose(
        model.predict(short, verbose=0)[0], table[short[0]].mean(0), rtol=1e-5
    )
    np.testing.assert_allclose(
        model.predict(padded, verbose=0)[0], table[[1, 2]].mean(0), rtol=1e-5
    )


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.8])
@pytest.mark.parametrize("size, block", [(7, 7), (7, 5), (4, 7), (14, 7), (9, 1)])
@pytest.mark.backend_free
def test_the_expected_fraction_is_the_rate_for_every_map(
    rate: float, size: int, block: int
) -> None:
    side = min(block, size)
    chance = block_probability(rate, (size, size), (side, side), np)
    begins = np.arange(size - side + 1)
    n = np.array([((begins <= i) & (i < begins + side)).sum() for i in range(size)])
    fraction = 1 - ((1 - float(chance)) ** np.outer(n, n)).mean()
    np.testing.assert_allclose(fraction, rate, rtol=1e-3)


@pytest.mark.parametrize("size, block", [((7, 7), 7), ((5, 8), 3), ((3, 3), 7)])
def test_the_dropped_fraction_is_the_nominal_rate_on_small_maps(
    size: tuple, block: int
) -> None:
    y = dropped(DropBlock2D(0.1, block, seed=2), 2000, *size, 2)
    assert abs((y == 0).mean() - 0.1) < 0.012
    np.testing.assert_allclose(y.mean(), 1, atol=0.015)


@pytest.mark.one_backend
def test_what_is_dropped_is_a_union_of_blocks() -> None:
    gone = dropped(DropBlock2D(0.2, 3, seed=3), 50, 8, 8, 1)[..., 0] == 0
    blocks = np.lib.stride_tricks.sliding_window_view(gone, (3, 3), (1, 2)).all((3, 4))
    union = np.zeros_like(gone)
    for i in range(6):
        for j in range(6):
            union[:, i : i + 3, j : j + 3] |= blocks[:, i, j, None, None]
    assert gone.any() and (union == gone).all()


def test_channels_first_has_the_mask_of_channels_last() -> None:
    last = dropped(DropBlock2D(0.3, 3, seed=4, name="b"), 4, 6, 5, 2)
    layer = DropBlock2D(0.3, 3, data_format="channels_first", seed=4, name="b")
    np.testing.assert_array_equal(
        dropped(layer, 4, 2, 6, 5), last.transpose(0, 3, 1, 2)
    )


@pytest.mark.one_backend
def test_channels_share_their_blocks_if_asked() -> None:
    y = dropped(DropBlock2D(0.3, 3, per_channel=False, seed=4), 8, 6, 6, 4)
    assert (np.ptp(y, axis=3) == 0).all()


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("cls", [StochasticDepth, DropBlock2D])
def test_mixed_precision_keeps_its_dtype(cls: type, dtype: str) -> None:
    y = cls(0.5, dtype=dtype)(np.ones((4, 8, 8, 1), "float32"), training=True)
    assert keras.backend.standardize_dtype(y.dtype) == dtype.removeprefix("mixed_")
    assert set(np.unique(keras.ops.convert_to_numpy(keras.ops.cast(y, "float32")))) <= {
        0.0,
        2.0,
    }


def residual_model(blocks: int = 3, size: int | None = 8) -> keras.Model:
    """A small residual network with both layers."""
    x = inputs = keras.Input((size, size, 2))
    for i in range(blocks):
        branch = keras.layers.Conv2D(2, 3, padding="same")(x)
        branch = DropBlock2D(0.1, 3, name=f"block_{i}", seed=0)(branch)
        x = x + StochasticDepth(0.1, name=f"depth_{i}", seed=0)(branch)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(1)(x))


IMAGES = np.random.default_rng(0).normal(size=(8, 8, 8, 2)).astype("float32")


def test_a_model_for_images_of_any_size_trains_saves_and_loads(tmp_path) -> None:
    model = residual_model(1, None)
    model.compile("sgd", "mse")
    history = model.fit(IMAGES, np.ones((8, 1)), batch_size=4, epochs=1, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(
        again.predict(IMAGES, verbose=0), model.predict(IMAGES, verbose=0), rtol=1e-5
    )


def test_the_layers_do_nothing_at_inference_and_mc_predict_samples_them() -> None:
    model = residual_model()
    first, second = (model.predict(IMAGES, verbose=0) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert (mc_predict(model, IMAGES, 8, seed=0).std > 0).all()


@pytest.mark.one_backend
def test_layers_with_one_seed_and_other_names_draw_other_masks() -> None:
    one, two = (dropped(StochasticDepth(0.5, 7, name=n), 64, 1) for n in "ab")
    assert (one != two).any()


@pytest.mark.one_backend
def test_rates_grow_on_a_line_with_depth_and_are_saved(tmp_path) -> None:
    model = residual_model(4)
    assert list(linear_stochastic_depth(model, 0.4).values()) == [0.1, 0.2, 0.3, 0.4]
    rates = linear_stochastic_depth(model, 0.3, first_rate=0.0)
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    assert [again.get_layer(n).rate for n in rates] == pytest.approx([0, 0.1, 0.2, 0.3])


def test_a_new_rate_holds_in_a_model_that_has_trained() -> None:
    x = inputs = keras.Input((1,))
    dense = keras.layers.Dense(1, kernel_initializer="ones")
    model = keras.Model(inputs, dense(x + StochasticDepth(0.0)(x)))
    model.compile(keras.optimizers.SGD(0.0), "mse")
    data = np.ones((400, 1)), np.zeros((400, 1))
    plain = model.fit(*data, verbose=0, batch_size=400).history["loss"][0]
    linear_stochastic_depth(model, 0.5)
    changed = model.fit(*data, verbose=0, batch_size=400).history["loss"][0]
    # (1 + m)^2 with m = 0 or 2: 5 instead of 4.
    assert plain == pytest.approx(4) and changed == pytest.approx(5, abs=0.8)


@pytest.mark.one_backend
@pytest.mark.parametrize("given", [-0.1, 1.0, "0.1"])
def test_a_rate_out_of_range_is_an_error(given) -> None:
    with pytest.raises((ValueError, TypeError), match="StochasticDepth: `rate` must"):
        StochasticDepth(given)


@pytest.mark.one_backend
def test_a_model_without_the_layer_is_an_error() -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match="linear_stochastic_depth: `model` must be"):
        linear_stochastic_depth(model, 0.2)
