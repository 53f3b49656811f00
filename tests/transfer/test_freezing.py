"""What freezing and unfreezing choose, and what batch normalization then does."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_deeptools.transfer import freeze, frozen, unfreeze

INPUTS = np.random.default_rng(0).normal(3.0, 2.0, (16, 4)).astype("float32")
TARGETS = np.random.default_rng(1).normal(size=(16, 1)).astype("float32")


def network() -> keras.Model:
    """Two blocks, one of them nested, and a head."""
    nested = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(4, name="deep")], name="block2"
    )
    inputs = keras.Input((4,))
    outputs = keras.layers.Dense(4, name="block1_dense")(inputs)
    outputs = keras.layers.BatchNormalization(name="block1_norm")(outputs)
    outputs = keras.layers.ReLU(name="block1_relu")(outputs)
    outputs = nested(outputs)
    return keras.Model(inputs, keras.layers.Dense(1, name="head")(outputs))


def training(model: keras.Model) -> set[str]:
    """Names of the layers whose weights are trained."""
    return {variable.path.split("/")[-2] for variable in model.trainable_variables}


EVERY = {"block1_dense", "block1_norm", "deep", "head"}


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("choice", "chosen"),
    [
        (None, EVERY),
        ("head", {"head"}),
        ("block1_*", {"block1_dense", "block1_norm"}),
        ("block2", {"deep"}),
        (["deep", "head"], {"deep", "head"}),
        ("*/deep", {"deep"}),
        (lambda layer: isinstance(layer, keras.layers.Dense), EVERY - {"block1_norm"}),
    ],
    ids=["all", "name", "pattern", "nested", "list", "path", "function"],
)
def test_a_choice_is_frozen_and_unfrozen(choice: object, chosen: set[str]) -> None:
    model = network()
    if choice == "*/deep":
        model.get_layer("block2").get_layer("deep")._path = "block2/deep"
    freeze(model, choice)
    assert training(model) == EVERY - chosen
    freeze(model)
    unfreeze(model, choice)
    assert training(model) == chosen


@pytest.mark.one_backend
def test_layers_themselves_can_be_given() -> None:
    model = network()
    freeze(model, [model.get_layer("head"), model.get_layer("block2")])
    assert training(model) == {"block1_dense", "block1_norm"}


@pytest.mark.one_backend
def test_flags_that_were_set_on_what_encloses_a_layer_do_not_stop_it() -> None:
    model = network()
    model.trainable = False
    model.get_layer("block2").trainable = False
    unfreeze(model, "deep")
    assert training(model) == {"deep"}
    assert model.get_layer("block2").trainable_variables


def after_a_fit(
    act: Callable, weights_train: bool, batch_norm: str
) -> tuple[bool, bool]:
    """Whether gamma and the moving mean have changed; the kernel as it should."""
    model = network()
    act(model, "block1_*", batch_norm=batch_norm)
    dense, norm = model.get_layer("block1_dense"), model.get_layer("block1_norm")
    watched = [dense.kernel, norm.gamma, norm.moving_mean]
    before = [np.array(keras.ops.convert_to_numpy(v)) for v in watched]
    model.compile(keras.optimizers.SGD(0.1), loss="mse")
    model.fit(INPUTS, TARGETS, verbose=0)
    changed = [
        bool((keras.ops.convert_to_numpy(v) != old).any())
        for v, old in zip(watched, before, strict=True)
    ]
    assert changed[0] == weights_train
    return changed[1], changed[2]


@pytest.mark.alternates("act", "batch_norm")
@pytest.mark.parametrize(("act", "weights_train"), [(freeze, False), (unfreeze, True)])
@pytest.mark.parametrize(
    ("batch_norm", "changed"),
    [
        ("frozen", (False, False)),
        ("statistics", (False, True)),
        ("train", (True, True)),
    ],
)
def test_batch_normalization_does_as_told_whatever_the_other_weights_do(
    act: Callable, weights_train: bool, batch_norm: str, changed: tuple[bool, bool]
) -> None:
    assert after_a_fit(act, weights_train, batch_norm) == changed


def test_a_saved_model_keeps_what_is_frozen(tmp_path: Path) -> None:
    model = network()
    freeze(model, ["block1_*", "deep"])
    model.save(tmp_path / "model.keras")
    assert training(keras.saving.load_model(tmp_path / "model.keras")) == {"head"}


def test_a_subclassed_layer_that_was_never_built_is_refused() -> None:
    model = keras.Sequential([keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="freeze: `model` must be built"):
        freeze(model)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ("dense_*", "must be layers of the model that have weights"),
        ("block1_relu", "Available: block1_dense, block1_norm, deep, head"),
        (keras.layers.Dense(1, name="stranger"), "layers='stranger'"),
        ([], "must be None, or one or more"),
        (["head", "missing"], "layers='missing'"),
    ],
    ids=["pattern", "no weights", "stranger", "empty", "one of two"],
)
@pytest.mark.parametrize("act", [freeze, unfreeze])
def test_a_choice_of_nothing_is_an_error_and_changes_nothing(
    act: Callable, choice: object, words: str
) -> None:
    model = network()
    with pytest.raises(ValueError, match=words):
        act(model, choice)
    assert training(model) == EVERY


@pytest.mark.one_backend
def test_wrong_arguments_are_named() -> None:
    model = network()
    with pytest.raises(TypeError, match="frozen: `layers` must be"), frozen(model, 3):
        pass
    with pytest.raises(ValueError, match="freeze: `batch_norm` must be one of"):
        freeze(model, batch_norm="off")
    with pytest.raises(TypeError, match="unfreeze: `model` must be a Keras model"):
        unfreeze("model")
