"""Layer groups of what is wrapped, masked or without a graph."""

import keras
import numpy as np
import pytest

from keras_deeptools.transfer import (
    InferenceMode,
    LayerGroup,
    LayerGroups,
    fine_tune,
    freeze_to,
    layer_groups,
    probe_depth,
)

layers = keras.layers
X = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")
Y = np.arange(16) % 2


def body() -> keras.Model:
    stack = [layers.Dense(5, "relu", name="low"), layers.Dense(5, name="high")]
    return keras.Sequential([keras.Input((4,)), *stack], name="body")


def wrapped(inner: keras.Model) -> keras.Model:
    head = layers.Dense(2, "softmax", name="head")
    return keras.Sequential([keras.Input((4,)), InferenceMode(inner), head])


def test_groups_are_found_inside_of_inference_mode() -> None:
    model = wrapped(body())
    assert layer_groups(model).names == ["low", "high", "head"]
    freeze_to(model, "high")
    paths = [variable.path.split("/")[-2] for variable in model.trainable_variables]
    assert paths == ["high", "high", "head", "head"]


@pytest.mark.one_backend
def test_probes_read_groups_inside_of_inference_mode() -> None:
    inner = body()
    head = layers.Dense(2, "softmax", name="head")
    plain = keras.Sequential([keras.Input((4,)), inner, head])
    expected = probe_depth(plain, X, Y, num_folds=2)
    found = probe_depth(wrapped(inner), X, Y, num_folds=2)
    assert found.groups == expected.groups == ("low", "high")
    np.testing.assert_array_equal(found.fold_accuracy, expected.fold_accuracy)


def test_fine_tuning_trains_groups_inside_of_inference_mode() -> None:
    model = wrapped(body())
    result = fine_tune(model, X, Y, epochs=1, verbose=0)
    assert [phase.num_trainable for phase in result.phases] == [12, 67]


def test_masks_do_not_join_the_groups_of_a_text_model() -> None:
    stack = [
        layers.Embedding(9, 4, mask_zero=True, name="words"),
        layers.SimpleRNN(4, return_sequences=True, name="first"),
        layers.SimpleRNN(4, name="second"),
        layers.Dense(2, name="head"),
    ]
    model = keras.Sequential([keras.Input((None,), dtype="int32"), *stack])
    assert layer_groups(model).names == ["words", "first", "second", "head"]


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.body = layers.Dense(4, "relu")
        self.head = layers.Dense(2, "softmax")

    def call(self, x: object) -> object:
        return self.head(self.body(x))


def test_a_subclassed_model_is_fine_tuned_by_groups_of_ones_own() -> None:
    model = Subclassed()
    model(X[:1])
    with pytest.raises(ValueError, match="layer_groups: .*a graph.*`LayerGroups"):
        fine_tune(model, X, Y, epochs=1)
    parts = [("body", (model.body,)), ("head", (model.head,))]
    groups = LayerGroups("mine", tuple(LayerGroup(*part) for part in parts))
    loss = "sparse_categorical_crossentropy"
    result = fine_tune(model, X, Y, epochs=1, groups=groups, loss=loss, verbose=0)
    assert [phase.num_trainable for phase in result.phases] == [10, 30]


def test_a_sequential_that_is_not_built_is_told_how_to_build_it() -> None:
    model = keras.Sequential([layers.Dense(4), layers.Dense(2)])
    with pytest.raises(ValueError, match="Give it an Input, or call it on a batch"):
        layer_groups(model)
