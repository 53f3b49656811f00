"""Which batches a model can take."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_deeptools.engine._checked_batch import check_batch

TOKENS = np.arange(12).reshape(3, 4)
FLOATS = np.ones((3, 4), "float32")


def of_tokens(dtype: str) -> keras.Model:
    inputs = keras.Input((4,), dtype=dtype)
    body = keras.Sequential([keras.Input((4,)), layers.Embedding(12, 2)])
    return keras.Model(inputs, body(inputs))


class Tokens(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.table = layers.Embedding(12, 2)

    def call(self, inputs: object) -> object:
        return self.table(inputs)


@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_token_ids_are_legal_for_an_embedding_in_a_nested_model(dtype: str) -> None:
    assert check_batch("owner", of_tokens(dtype), TOKENS) == 3


def test_token_ids_are_legal_for_a_subclassed_model_with_an_embedding() -> None:
    model = Tokens()
    model(TOKENS)
    assert check_batch("owner", model, TOKENS) == 3


def test_an_input_declared_as_integers_takes_them_whatever_comes_after() -> None:
    inputs = keras.Input((4,), dtype="uint8")
    outputs = layers.Dense(2)(layers.Rescaling(1 / 255)(inputs))
    model = keras.Model(inputs, outputs)
    assert check_batch("owner", model, TOKENS.astype("uint8")) == 3


def two_inputs() -> keras.Model:
    tokens, floats = keras.Input((4,), name="tokens"), keras.Input((4,), name="floats")
    embedded = layers.Flatten()(layers.Embedding(12, 2)(tokens))
    joined = layers.Concatenate()([embedded, floats])
    return keras.Model([tokens, floats], layers.Dense(1)(joined))


def test_integers_are_judged_input_by_input() -> None:
    model = two_inputs()
    assert check_batch("owner", model, [TOKENS, FLOATS]) == 3
    assert check_batch("owner", model, {"floats": FLOATS, "tokens": TOKENS}) == 3
    with pytest.raises(ValueError, match="^owner: `x` must be floats"):
        check_batch("owner", model, [TOKENS, TOKENS])


def test_a_missing_trailing_axis_of_one_is_as_good_as_one_there() -> None:
    model = keras.Sequential([keras.Input((4, 1)), layers.Dense(2)])
    assert check_batch("owner", model, FLOATS) == 3


def test_rows_of_inputs_and_targets_must_agree() -> None:
    with pytest.raises(ValueError, match="same number of rows"):
        check_batch("owner", two_inputs(), [TOKENS, FLOATS], np.ones((2, 1)))
