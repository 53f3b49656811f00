"""The activation that an output comes from is found through what only moves values."""

from typing import Any

import keras
import pytest

from keras_deeptools.engine._graph.calls import final_activation

layers = keras.layers


def ends(*parts: Any) -> str | None:
    inputs = tensor = keras.Input((4, 6))
    for part in parts:
        tensor = part(tensor)
    return final_activation(keras.Model(inputs, tensor).outputs[0])


@pytest.mark.parametrize(
    "behind",
    [
        layers.Activation("linear", dtype="float32"),
        layers.Dropout(0.1),
        layers.Cropping1D(1),
        layers.GlobalAveragePooling1D(),
        lambda x: keras.ops.reshape(x, (-1, 3)),
        lambda x: x[:, 0],
    ],
)
def test_what_moves_values_is_passed_over(behind: Any) -> None:
    assert ends(layers.Dense(3, "softmax"), behind) == "softmax"


def test_wrappers_and_nested_models_are_looked_into() -> None:
    inner = keras.Sequential([keras.Input((6,)), layers.Dense(3, "softmax")])
    assert ends(layers.TimeDistributed(layers.Dense(2, "sigmoid"))) == "sigmoid"
    assert ends(layers.TimeDistributed(inner)) == "softmax"
    assert ends(layers.Bidirectional(layers.LSTM(3, activation="relu"))) == "relu"


@pytest.mark.parametrize("behind", [lambda x: x[..., 1:], layers.Flatten()])
def test_a_part_of_a_softmax_is_none(behind: Any) -> None:
    assert ends(layers.Dense(3, "softmax"), behind) not in ("softmax", "sigmoid")
    assert ends(layers.Dense(3, "sigmoid"), behind) == "sigmoid"


def test_rows_beside_each_other_are_no_softmax() -> None:
    def heads(activation: str, axis: int) -> Any:
        made = [layers.Dense(3, activation) for _ in range(2)]
        return lambda x: layers.Concatenate(axis)([head(x) for head in made])

    assert ends(heads("softmax", -1)) == "a Concatenate"
    assert ends(heads("softmax", 1)) == "softmax"
    assert ends(heads("sigmoid", -1)) == "sigmoid"


def test_a_softmax_over_another_axis_is_none_over_classes() -> None:
    assert ends(layers.Dense(3), layers.Softmax(axis=1)) == "a Softmax over axis 1"


def test_transposed_convolutions_are_no_transposition() -> None:
    relu = layers.Conv1DTranspose(2, 3, activation="relu")
    assert ends(relu, layers.Conv1DTranspose(1, 3)) == "linear"
