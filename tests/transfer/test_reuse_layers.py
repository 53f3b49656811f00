import re
import warnings

import keras
import numpy as np
import pytest

from keras_deeptools.transfer import freeze, reuse_layers

layers = keras.layers


def mlp() -> keras.Sequential:
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(5, "tanh", name="first"),
            layers.Dense(4, "tanh", name="second"),
            layers.Dense(3, "softmax", name="old_head"),
        ],
        name="mlp",
    )


def residual() -> keras.Model:
    """A nested model, a branch and a shared layer."""
    inputs = keras.Input((6,))
    inner_in = keras.Input((6,))
    inner_out = layers.BatchNormalization(name="norm")(
        layers.Dense(6, name="inner")(inner_in)
    )
    inner = keras.Model(inner_in, inner_out, name="nested")
    twice = layers.Dense(6, "tanh", name="twice")
    x = twice(twice(inner(inputs)))
    joined = layers.Add(name="join")([x, inputs])
    return keras.Model(inputs, layers.Dense(2, name="old_head")(joined), name="net")


X = np.random.default_rng(0).normal(size=(8, 6)).astype("float32")


def part(model: keras.Model, name: str) -> np.ndarray:
    """What the model computes up to a layer."""
    inner = keras.Model(model.inputs, model.get_layer(name).output)
    return inner.predict(X, verbose=0)


def test_all_before_the_head_computes_as_in_the_source() -> None:
    model = residual()
    model.get_layer("nested").get_layer("norm").moving_mean.assign(np.arange(6.0))
    new = reuse_layers(model)
    np.testing.assert_allclose(new.predict(X, verbose=0), part(model, "join"), 1e-5)
    assert new.name == "net_reused"


@pytest.mark.parametrize("chosen", [{"num_layers": 1}, {"until": "first"}])
def test_so_many_layers_or_up_to_a_name_are_taken(chosen: dict) -> None:
    model = mlp()
    new = reuse_layers(model, layers.Dense(1, name="new"), **chosen)
    assert [layer.name for layer in new.layers[1:]] == ["first", "new"]
    np.testing.assert_allclose(part(new, "first"), part(model, "first"), 1e-5)


def test_training_a_copy_leaves_the_source_as_it_was() -> None:
    model = residual()
    before = model.get_weights()
    new = reuse_layers(model, [layers.Dropout(0.1), layers.Dense(1, name="new")])
    assert not new.compiled
    new.compile("adam", loss="mse")
    new.fit(X, X[:, :1], epochs=2, verbose=0)
    for old, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, now)
    assert not np.array_equal(new.get_layer("twice").get_weights()[0], before[-4])


def test_flags_are_copied_down_to_the_weight() -> None:
    model = residual()
    freeze(model, "norm", batch_norm="statistics")
    freeze(model, "twice")
    new = reuse_layers(model)
    flags = [weight.trainable for weight in new.weights]
    kept = model.weights[: len(flags)]
    assert flags == [weight.trainable for weight in kept]
    assert not new.get_layer("twice").trainable
    assert new.get_layer("nested").get_layer("norm").trainable


def test_a_copy_can_be_frozen_by_itself() -> None:
    model = mlp()
    new = reuse_layers(model, layers.Dense(1, name="new"))
    freeze(new, ["first", "second"])
    assert len(new.trainable_variables) == 2 and len(model.trainable_variables) == 6


def test_sharing_warns_once_for_a_model_and_changes_both() -> None:
    model = mlp()
    with pytest.warns(UserWarning, match="training one changes the other") as caught:
        new = reuse_layers(model, layers.Dense(1, name="new"), share=True)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reuse_layers(model, share=True)
    assert new.get_layer("first") is model.layers[0]
    before = model.get_weights()
    new.compile("sgd", loss="mse")
    new.fit(X, X[:, :1], verbose=0)
    assert not np.array_equal(model.get_weights()[0], before[0])
    np.testing.assert_array_equal(model.get_weights()[4], before[4])


def test_half_precision_is_copied() -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = mlp()
    keras.config.set_dtype_policy("float32")
    new = reuse_layers(model)
    assert new.get_layer("first").compute_dtype == "bfloat16"
    assert new.get_layer("first").kernel.dtype == "float32"


class Odd(layers.Layer):
    """Cannot be made anew: its config lacks an argument."""

    def __init__(self, factor: float) -> None:
        super().__init__(name="odd")
        self.factor = factor

    def call(self, inputs: object) -> object:
        return inputs * self.factor


def test_what_cannot_be_copied_can_be_shared() -> None:
    model = keras.Sequential([keras.Input((6,)), Odd(2.0), layers.Dense(1)])
    with pytest.raises(ValueError, match="give share=True"):
        reuse_layers(model)
    with pytest.warns(UserWarning):
        new = reuse_layers(model, share=True)
    np.testing.assert_allclose(new.predict(X, verbose=0), 2 * X, 1e-6)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"num_layers": 4}, "`num_layers` must be at most 3"),
        ({"num_layers": 0}, "`num_layers` must be an integer >= 1"),
        ({"num_layers": 1, "until": "first"}, "one of `num_layers` and `until`"),
        ({"until": "third"}, "Available: "),
        ({"head": layers.Dense(1, name="first")}, "a layer named 'first'"),
    ],
    ids=str,
)
def test_a_bad_value_is_named(arguments: dict, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)) as raised:
        reuse_layers(mlp(), **arguments)
    assert str(raised.value).startswith("reuse_layers: ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"head": "dense"}, "`head` must be None, a Keras layer"),
        ({"share": 1}, "`share` must be True or False"),
        ({"until": 2}, "`until` must be None or the name of a layer"),
        ({"model": "mlp"}, "`model` must be a `keras.Model`"),
    ],
    ids=str,
)
def test_a_value_of_the_wrong_type_is_named(arguments: dict, said: str) -> None:
    with pytest.raises(TypeError, match=re.escape(said)):
        reuse_layers(**{"model": mlp()} | arguments)


def test_a_number_of_layers_that_cuts_a_branch_is_refused() -> None:
    inputs = keras.Input((6,))
    left = layers.Dense(4, name="left")(inputs)
    right = layers.Dense(4, name="right")(inputs)
    model = keras.Model(inputs, layers.Dense(1)(layers.Add()([left, right])))
    with pytest.raises(ValueError, match="must not cut through branches"):
        reuse_layers(model, num_layers=2)


def test_a_layer_that_is_called_twice_is_no_place_to_cut() -> None:
    with pytest.raises(ValueError, match="called once"):
        reuse_layers(residual(), until="twice")


def test_a_model_without_a_graph_is_refused() -> None:
    with pytest.raises(ValueError, match="without a graph"):
        reuse_layers(keras.Sequential([layers.Dense(1)]))
