"""Freezing by layer group, and up to a layer group."""

import keras
import numpy as np
import pytest

from keras_deeptools.transfer import freeze, freeze_to, frozen, layer_groups, unfreeze

EVERY = {"first", "norm", "second", "head", "head_norm"}


def network() -> keras.Model:
    """Three groups on request, normalization in the first and the last."""
    return keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(3, name="first"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.Dense(3, name="second"),
            keras.layers.Dense(1, name="head"),
            keras.layers.BatchNormalization(name="head_norm"),
        ]
    )


def training(model: keras.Model) -> set[str]:
    """Names of the layers whose weights are trained."""
    return {variable.path.split("/")[-2] for variable in model.trainable_variables}


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("group", "trained"),
    [
        (0, EVERY),
        (2, EVERY - {"first", "norm"}),
        (-2, {"head", "head_norm"}),
        ("second", EVERY - {"first", "norm"}),
        (np.int64(4), {"head_norm"}),
    ],
)
def test_what_comes_before_the_group_is_frozen_and_the_rest_trains(
    group: int | str, trained: set[str]
) -> None:
    model = network()
    freeze(model, "head")
    freeze_to(model, group)
    assert training(model) == trained


@pytest.mark.one_backend
def test_a_group_from_any_number_of_groups_is_found_again() -> None:
    model = network()
    for count in (2, 3, 5):
        groups = layer_groups(model, count)
        freeze_to(model, groups[-1])
        names = {layer.name for layer in groups[-1].layers}
        assert training(model) == names
        freeze_to(model, -1, num_groups=count)
        assert training(model) == names


@pytest.mark.one_backend
def test_batch_normalization_before_the_head_does_as_told() -> None:
    model = network()
    freeze_to(model, 0, num_groups=3, batch_norm="frozen")
    assert training(model) == EVERY - {"norm"}
    assert not model.get_layer("norm").trainable
    freeze_to(model, 0, num_groups=3, batch_norm="statistics")
    assert training(model) == EVERY - {"norm"}
    assert model.get_layer("norm").trainable
    freeze_to(model, -1, num_groups=3, batch_norm="statistics")
    assert not model.get_layer("norm").trainable
    assert model.get_layer("head_norm").trainable_variables


@pytest.mark.one_backend
def test_a_group_or_several_can_be_frozen_and_unfrozen() -> None:
    model = network()
    groups = layer_groups(model)
    freeze(model, groups["first"])
    assert training(model) == EVERY - {"first"}
    freeze(model, groups[2:4])
    assert training(model) == {"norm", "head_norm"}
    unfreeze(model, [groups[0], "second"])
    assert training(model) == {"norm", "head_norm", "first", "second"}
    with frozen(model, groups):
        assert not model.trainable_variables
    assert training(model) == {"norm", "head_norm", "first", "second"}


@pytest.mark.one_backend
@pytest.mark.parametrize("group", [5, -6, "hed"])
def test_a_group_that_does_not_exist_is_an_error_that_lists_those_that_do(
    group: int | str,
) -> None:
    model = network()
    with pytest.raises(ValueError, match=r"freeze_to: `group` .* 4 'head_norm'"):
        freeze_to(model, group)
    assert training(model) == EVERY


@pytest.mark.one_backend
def test_a_group_of_another_model_is_refused() -> None:
    model, other = network(), network()
    with pytest.raises(ValueError, match="must be a layer group of the model"):
        freeze_to(model, layer_groups(other)[-1])
    with pytest.raises(ValueError, match="must be layers of the model that have"):
        freeze(model, layer_groups(other)[-1])
    assert training(model) == EVERY


@pytest.mark.one_backend
def test_wrong_types_are_named() -> None:
    with pytest.raises(TypeError, match="freeze_to: `group` must be the number"):
        freeze_to(network(), 1.0)
    with pytest.raises(TypeError, match=r"freeze_to: `model` must be a `keras.Model`"):
        freeze_to(keras.layers.Dense(1), 0)
    with pytest.raises(ValueError, match="freeze_to: `batch_norm` must be one of"):
        freeze_to(network(), 0, batch_norm="off")


def test_a_compiled_model_follows() -> None:
    model = network()
    model.compile("adam", loss="mse")
    x, y = np.ones((4, 3), "float32"), np.ones((4, 1), "float32")
    model.train_on_batch(x, y)
    freeze_to(model, "head")
    before = model.get_layer("first").get_weights()[0]
    head = model.get_layer("head").get_weights()[1]
    model.train_on_batch(x + np.arange(4, dtype="float32")[:, None], y)
    np.testing.assert_array_equal(model.get_layer("first").get_weights()[0], before)
    assert len(model.optimizer.variables) == 2 + 2 * 4
    assert head.shape == (1,)
