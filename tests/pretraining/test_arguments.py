import re
from typing import Any

import keras
import numpy as np
import pytest

from keras_deeptools.pretraining import pretrain_layerwise

pytestmark = pytest.mark.one_backend

layers = keras.layers
X = np.linspace(0, 1, 24, dtype="float32").reshape(4, 6)


def mlp() -> keras.Sequential:
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(5, "sigmoid", name="first"),
            layers.Dense(4, "sigmoid", name="second"),
            layers.Dense(3, name="head"),
        ]
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"noise": "salt"}, "`noise` must be one of"),
        ({"noise_level": 1.0}, "`noise_level` must be in [0, 1) for masking noise"),
        ({"noise": "gaussian", "noise_level": -0.1}, "`noise_level` must be a finite"),
        ({"loss": "hinge"}, "`loss` must be one of"),
        ({"epochs": 0}, "`epochs` must be an integer >= 1"),
        ({"epochs": [1, 2, 3]}, "one for each of the 2 pretrained layers"),
        ({"batch_size": 0}, "`batch_size` must be an integer >= 1"),
        ({"optimizer": "steepest"}, "`optimizer` must be the name of an optimizer"),
        ({"seed": -1}, "`seed` must be None or an integer >= 0"),
        ({"verbose": 2}, '`verbose` must be "auto", 0 or 1'),
        ({"layers": ["third"]}, "'third' is: no layer of the model with weights"),
        ({"layers": []}, "`model` must have hidden layers"),
        ({"x": X[:, :5]}, "`x` must be an array of numbers of shape (None, 6)"),
        ({"x": X[:0]}, "with at least one row"),
        ({"x": np.full_like(X, np.nan)}, "`x` must be finite"),
        ({"x": 2 * X, "loss": "binary_crossentropy"}, "not in [0, 1]"),
    ],
    ids=str,
)
def test_a_bad_value_is_named_before_anything_changes(
    arguments: dict[str, Any], said: str
) -> None:
    model = mlp()
    before = model.get_weights()
    with pytest.raises(ValueError, match=re.escape(said)) as raised:
        pretrain_layerwise(model, **{"x": X, "verbose": 0} | arguments)
    assert str(raised.value).startswith("pretrain_layerwise: ")
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"model": "mlp"}, "`model` must be a keras.Model"),
        ({"tied": 1}, "`tied` must be True or False"),
        ({"layers": "first"}, "Give `['first']`"),
        ({"epochs": 1.5}, "`epochs` must be an integer"),
        ({"x": np.array(["a"])}, "`x` must be an array of numbers"),
    ],
    ids=str,
)
def test_a_value_of_the_wrong_type_is_named(
    arguments: dict[str, Any], said: str
) -> None:
    given = {"model": mlp(), "x": X, "verbose": 0} | arguments
    with pytest.raises(TypeError, match=re.escape(said)):
        pretrain_layerwise(**given)


def test_a_graph_that_branches_is_refused_by_the_name_of_the_layer() -> None:
    inputs = keras.Input((6,))
    hidden = layers.Dense(6)(inputs)
    joined = layers.Add(name="skip")([inputs, hidden])
    model = keras.Model(inputs, layers.Dense(1)(joined))
    with pytest.raises(ValueError, match="'skip' is not fed by the layer before alone"):
        pretrain_layerwise(model, X)


def test_a_model_of_two_inputs_is_refused() -> None:
    inputs = [keras.Input((6,)), keras.Input((6,))]
    model = keras.Model(inputs, layers.Add()(inputs), name="pair")
    with pytest.raises(ValueError, match="'pair' has 2 inputs"):
        pretrain_layerwise(model, X)


def test_a_model_without_a_graph_is_refused() -> None:
    with pytest.raises(ValueError, match="without a graph. Build it"):
        pretrain_layerwise(keras.Sequential([layers.Dense(3), layers.Dense(1)]), X)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (layers.Conv2D(4, 3, groups=2, name="odd"), "grouped convolution"),
        (layers.Conv2D(4, 2, dilation_rate=2, name="odd"), "dilated convolution"),
        (layers.DepthwiseConv2D(3, name="odd"), "neither Dense nor Conv2D"),
        (layers.Dense(2, name="odd", trainable=False), "frozen"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_layer_that_cannot_be_pretrained_is_refused_with_the_reason(
    layer: keras.Layer, reason: str
) -> None:
    model = keras.Sequential([keras.Input((6, 6, 2)), layer, layers.Dense(1)])
    with pytest.raises(ValueError, match=f"'odd' is: {reason}"):
        pretrain_layerwise(model, np.zeros((2, 6, 6, 2)), layers=["odd"])


def test_a_layer_that_is_used_twice_is_left_with_the_reason() -> None:
    inputs, shared = keras.Input((6,)), layers.Dense(6, name="shared")
    hidden = layers.Dense(4, name="own")(shared(shared(inputs)))
    model = keras.Model(inputs, layers.Dense(1, name="head")(hidden))
    result = pretrain_layerwise(model, X, epochs=1, verbose=0)
    assert result.left == {"shared": "used twice", "head": "last layer"}
