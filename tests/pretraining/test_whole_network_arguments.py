import re
from typing import Any

import keras
import numpy as np
import pytest

from keras_deeptools.pretraining import pretrain_denoising
from pretraining.networks import mlp, rows

pytestmark = pytest.mark.one_backend

layers = keras.layers


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"until": "third"}, "Available: "),
        ({"epochs": 0}, "`epochs` must be an integer >= 1"),
        ({"batch_size": 0}, "`batch_size` must be an integer >= 1"),
        ({"steps_per_epoch": 0}, "`steps_per_epoch` must be an integer >= 1"),
        ({"optimizer": "steepest"}, "`optimizer` must be the name of an optimizer"),
        ({"seed": -1}, "`seed` must be None or an integer >= 0"),
        ({"verbose": 3}, '`verbose` must be "auto", 0, 1 or 2'),
        ({"noise": "salt"}, "`noise` must be one of"),
        ({"noise_level": 1.0}, "`noise_level` must be in [0, 1) for masking noise"),
        ({"loss": "hinge"}, "`loss` must be one of"),
        ({"x": rows(4, 5)}, "`x` must be an array of numbers of shape (None, 6)"),
        ({"x": rows(4) * np.nan}, "`x` must be finite"),
        ({"validation_data": rows(4, 5)}, "`validation_data` must be an array"),
        ({"x": 9 * rows(), "loss": "binary_crossentropy"}, "not in [0, 1]"),
        ({"decoder": layers.Dense(5)}, "`decoder` must map rows of shape (4,) to (6,)"),
    ],
    ids=lambda value: str(next(iter(value))) if isinstance(value, dict) else "",
)
def test_a_bad_value_is_named_before_anything_changes(
    arguments: dict[str, Any], said: str
) -> None:
    model = mlp()
    before = model.get_weights()
    with pytest.raises(ValueError, match=re.escape(said)) as raised:
        pretrain_denoising(model, **{"x": rows(), "verbose": 0} | arguments)
    assert str(raised.value).startswith("pretrain_denoising: ")
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"model": "mlp"}, "`model` must be a keras.Model"),
        ({"until": 1}, "`until` must be None or the name of a layer"),
        ({"decoder": "dense"}, "`decoder` must be None or a Keras layer"),
        ({"epochs": 1.5}, "`epochs` must be an integer"),
        ({"x": np.array(["a"])}, "`x` must be an array of numbers"),
    ],
    ids=str,
)
def test_a_value_of_the_wrong_type_is_named(
    arguments: dict[str, Any], said: str
) -> None:
    given = {"model": mlp(), "x": rows(), "verbose": 0} | arguments
    with pytest.raises(TypeError, match=re.escape(said)):
        pretrain_denoising(**given)


def of_two_inputs() -> keras.Model:
    inputs = [keras.Input((6,)), keras.Input((6,))]
    return keras.Model(inputs, layers.Dense(1)(layers.Add()(inputs)), name="pair")


def frozen() -> keras.Model:
    model = mlp()
    model.layers[0].trainable = model.layers[1].trainable = False
    return model


def of_words() -> keras.Model:
    words = keras.Input((4,), dtype="int32")
    x = layers.Flatten()(layers.Embedding(9, 2)(words))
    return keras.Model(words, layers.Dense(1)(x))


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (of_two_inputs(), "must have one input. Received: 'pair', which has 2"),
        (frozen(), "must have layers that train before the head"),
        (keras.Sequential([keras.Input((6,)), layers.Dense(1)]), "before the head"),
        (keras.Sequential([keras.Input((6,)), layers.ReLU()]), "layers with weights"),
        (keras.Sequential([layers.Dense(1)]), "without a graph. Build it"),
    ],
    ids=["two inputs", "frozen", "head only", "no weights", "no graph"],
)
def test_a_model_without_an_encoder_is_refused(model: keras.Model, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        pretrain_denoising(model, rows(), verbose=0)


def test_a_model_of_words_is_refused() -> None:
    words = np.zeros((4, 4), "int32")
    with pytest.raises(ValueError, match="must take floats"):
        pretrain_denoising(of_words(), words, verbose=0)


def test_a_nested_model_with_its_head_is_refused_with_the_way_out() -> None:
    model = keras.Sequential([keras.Input((6,)), layers.Rescaling(2.0), mlp()])
    with pytest.raises(ValueError, match="pretrain a nested model by itself"):
        pretrain_denoising(model, rows(), verbose=0)
