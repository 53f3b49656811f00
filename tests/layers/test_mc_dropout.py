"""Monte Carlo dropout layers, against Keras' own and closed forms."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_deeptools import layers

SHAPES = {
    "Dropout": (4,),
    "AlphaDropout": (4,),
    "GaussianDropout": (4,),
    "SpatialDropout1D": (3, 4),
    "SpatialDropout2D": (2, 3, 4),
    "SpatialDropout3D": (2, 2, 3, 4),
}
twins = pytest.mark.parametrize("name", SHAPES)


def ours(name: str) -> Callable[..., keras.Layer]:
    return getattr(layers, f"MC{name}")


def ones(name: str, rows: int = 200) -> np.ndarray:
    return np.ones((rows, *SHAPES[name]), "float32")


def called(layer: keras.Layer, x: np.ndarray, training: bool = False) -> np.ndarray:
    return keras.ops.convert_to_numpy(layer(x, training=training))


@twins
def test_a_layer_does_nothing_in_inference(name: str) -> None:
    np.testing.assert_array_equal(called(ours(name)(0.5), ones(name)), ones(name))


@twins
def test_a_layer_drops_in_training_as_its_twin_does(name: str) -> None:
    mine, theirs = ours(name)(0.5), getattr(keras.layers, name)(0.5)
    x = ones(name, 4000)
    got, expected = called(mine, x, True), called(theirs, x, True)
    if name != "GaussianDropout":
        np.testing.assert_allclose(np.unique(got), np.unique(expected), rtol=1e-6)
    assert abs(got.mean() - expected.mean()) < 0.06
    assert abs(got.std() - expected.std()) < 0.06


@twins
def test_a_layer_with_stochastic_inference_drops_anew_in_every_predict(
    name: str,
) -> None:
    layer = ours(name)(0.5, stochastic_inference=True)
    model = keras.Sequential([keras.Input(SHAPES[name]), layer])
    first, second = (model.predict(ones(name), verbose=0) for _ in range(2))
    assert (first != ones(name)).mean() > 0.3
    assert (first != second).mean() > 0.3


@twins
def test_a_layer_comes_back_from_a_safe_file(name: str, tmp_path: Path) -> None:
    layer = ours(name)(0.25, seed=7, stochastic_inference=True, name="drop")
    model = keras.Sequential([keras.Input(SHAPES[name]), layer])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert loaded.get_layer("drop").get_config() == layer.get_config()
    assert type(loaded.get_layer("drop")) is type(layer)


@twins
def test_a_layer_takes_the_arguments_of_its_twin(name: str) -> None:
    theirs = getattr(keras.layers, name)(0.25, seed=7, name="drop").get_config()
    config = ours(name)(0.25, seed=7, name="drop").get_config()
    del theirs["dtype"], config["dtype"]
    assert {k: config.get(k) for k in theirs} == theirs


@twins
def test_a_layer_keeps_mixed_precision_when_it_is_made_again(name: str) -> None:
    layer = ours(name)(0.5, dtype="mixed_bfloat16")
    again = type(layer).from_config(layer.get_config())
    assert again.compute_dtype == "bfloat16"
    y = again(ones(name), training=True)
    assert keras.backend.standardize_dtype(y.dtype) == "bfloat16"


@twins
@pytest.mark.parametrize("rate", [-0.1, 1, 1.2, float("nan")])
def test_a_rate_outside_its_range_is_refused(name: str, rate: float) -> None:
    with pytest.raises(ValueError, match=rf"MC{name}: `rate` must be in \[0, 1\)"):
        ours(name)(rate)


@twins
def test_a_rate_that_is_no_number_is_refused(name: str) -> None:
    with pytest.raises(TypeError, match="`rate` must be a number"):
        ours(name)("half")


@twins
def test_a_switch_that_is_no_bool_is_refused(name: str) -> None:
    with pytest.raises(TypeError, match="`stochastic_inference` must be True or False"):
        ours(name)(0.5, stochastic_inference=1)


@twins
def test_layers_with_one_seed_draw_different_masks(name: str) -> None:
    x = ones(name)
    first, second = (called(ours(name)(0.5, seed=1), x, True) for _ in range(2))
    assert (first != second).mean() > 0.3


def test_a_layer_with_the_same_seed_and_name_draws_the_same_masks() -> None:
    x = ones("Dropout")
    one, other = (layers.MCDropout(0.5, seed=1, name="drop") for _ in range(2))
    np.testing.assert_array_equal(called(one, x, True), called(other, x, True))


def test_masks_of_layers_with_one_seed_are_uncorrelated() -> None:
    x = np.ones((100, 200), "float32")
    first, second = (called(layers.MCDropout(0.5, seed=1), x, True) for _ in range(2))
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.04


def test_the_validation_loss_of_a_fit_is_the_clean_one() -> None:
    dense = keras.layers.Dense(4, kernel_initializer="identity")
    model = keras.Sequential([keras.Input((4,)), layers.MCDropout(0.9), dense])
    model.compile(keras.optimizers.SGD(0.0), loss="mse")
    x = ones("Dropout", 8)
    fitted = model.fit(x, x, validation_data=(x, x), verbose=0)
    assert fitted.history["val_loss"] == [0.0]
    assert fitted.history["loss"][0] > 0.1


# Keras' own call of jax2tf, on JAX.
@pytest.mark.parametrize("name", ["Dropout", "GaussianDropout", "SpatialDropout2D"])
@pytest.mark.filterwarnings("ignore:The `native_serialization`:DeprecationWarning")
def test_a_layer_exports_with_stochastic_inference(name: str, tmp_path: Path) -> None:
    layer = ours(name)(0.5, seed=1, stochastic_inference=True)
    model = keras.Sequential([keras.Input(SHAPES[name]), layer])
    x = ones(name)
    serve = exported(model, tmp_path)
    first, second = serve(x), serve(x)
    assert (first != x).mean() > 0.3
    assert (first != second).mean() > 0.3


def exported(model: keras.Model, folder: Path) -> Callable[[np.ndarray], np.ndarray]:
    """The model's exported artifact, loaded again."""
    if keras.backend.backend() == "torch":
        import torch

        rows = {0: torch.export.Dim("rows", min=1, max=1000)}
        path = folder / "model.pt2"
        model.export(path, format="torch", verbose=False, dynamic_shapes=rows)
        loaded = torch.export.load(path).module()
        return lambda x: loaded(torch.from_numpy(x)).numpy()
    import tensorflow as tf

    model.export(folder / "model", verbose=False)
    artifact = tf.saved_model.load(str(folder / "model"))
    return lambda x: artifact.serve(tf.constant(x)).numpy()
