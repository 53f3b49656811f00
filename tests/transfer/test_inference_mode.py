"""A wrapper keeps batch normalization and dropout off while weights train."""

from pathlib import Path

import keras
import numpy as np
import pytest

from keras_deeptools.transfer import InferenceMode, freeze
from newer_keras import needs_keras

INPUTS = np.random.default_rng(0).normal(3.0, 2.0, (32, 4)).astype("float32")
TARGETS = np.random.default_rng(1).normal(size=(32, 1)).astype("float32")


def backbone() -> keras.Model:
    """A functional model with batch normalization, and dropout deeper inside."""
    inner = keras.Sequential(
        [keras.Input((8,)), keras.layers.Dropout(0.5), keras.layers.Dense(4)]
    )
    inputs = keras.Input((4,))
    outputs = keras.layers.Dense(8, name="body")(inputs)
    outputs = keras.layers.BatchNormalization(name="norm")(outputs)
    return keras.Model(inputs, inner(outputs), name="backbone")


def wrapped(kind: type | None = InferenceMode) -> keras.Model:
    inputs = keras.Input((4,))
    inner = backbone()
    outputs = inner(inputs) if kind is None else kind(inner)(inputs)
    return keras.Model(inputs, keras.layers.Dense(1, name="head")(outputs))


def numbers(tensor: object) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(tensor))


@pytest.fixture(scope="module")
def trained() -> tuple[keras.Model, list[np.ndarray]]:
    """A model after a `fit`, and its weights before."""
    keras.utils.set_random_seed(0)
    model = wrapped()
    before = model.get_weights()
    model.compile(keras.optimizers.SGD(0.01), loss="mse")
    model.fit(INPUTS, TARGETS, batch_size=16, epochs=2, verbose=0)
    return model, before


def test_outputs_in_training_are_those_at_inference() -> None:
    model = wrapped()
    np.testing.assert_array_equal(
        numbers(model(INPUTS, training=True)), numbers(model(INPUTS, training=False))
    )
    plain = wrapped(None)
    assert (numbers(plain(INPUTS, training=True)) != numbers(plain(INPUTS))).any()


def test_weights_train_and_moving_statistics_stay(
    trained: tuple[keras.Model, list[np.ndarray]],
) -> None:
    model, before = trained
    paths = [variable.path for variable in model.weights]
    changed = {
        path.rpartition("/")[2]
        for path, old, new in zip(paths, before, model.get_weights(), strict=True)
        if (old != new).any()
    }
    assert changed == {"kernel", "bias", "gamma", "beta"}


def test_a_step_is_that_of_the_same_network_without_batch_statistics() -> None:
    model = wrapped()
    model.compile(keras.optimizers.SGD(0.01), loss="mse")
    inner = model.layers[1].layer
    body, dense = inner.get_layer("body"), inner.layers[-1].layers[-1]
    head = model.get_layer("head").get_weights()
    norm = 1 / np.sqrt(1 + inner.get_layer("norm").epsilon)
    kernels = [body.get_weights()[0], dense.get_weights()[0], head[0]]
    outputs = INPUTS @ kernels[0] * norm @ kernels[1] @ kernels[2]
    slope = 2 * (outputs - TARGETS) / len(INPUTS)
    gradient = INPUTS.T @ (slope @ kernels[2].T @ kernels[1].T * norm)
    model.train_on_batch(INPUTS, TARGETS)
    np.testing.assert_allclose(
        body.get_weights()[0], kernels[0] - 0.01 * gradient, rtol=1e-4, atol=1e-6
    )


@needs_keras("3.11", "loading a model around a model")
def test_a_saved_model_comes_back_with_the_wrapper(
    trained: tuple[keras.Model, list[np.ndarray]], tmp_path: Path
) -> None:
    model, _ = trained
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.layers[1], InferenceMode)
    np.testing.assert_array_equal(
        numbers(loaded(INPUTS, training=True)), numbers(model(INPUTS))
    )


def test_layers_inside_the_wrapper_can_be_frozen_by_name() -> None:
    model = wrapped()
    freeze(model, ["body", "norm"])
    assert len(model.trainable_variables) == 4


def test_masks_pass_through() -> None:
    layer = InferenceMode(keras.layers.Masking(-1.0))
    outputs = layer(np.array([[[1.0], [-1.0]]], "float32"))
    assert numbers(outputs._keras_mask).tolist() == [[True, False]]


def test_only_layers_can_be_wrapped() -> None:
    with pytest.raises(TypeError, match="`layer` must be a Keras layer or model"):
        InferenceMode("dense")
