import keras
import numpy as np
import pytest

from keras_deeptools.pretraining._encoder import Encoder
from keras_deeptools.pretraining._mirrored_layers import mirror

layers = keras.layers


def chain(shape: tuple, *hidden: keras.Layer) -> keras.Sequential:
    return keras.Sequential([keras.Input(shape), *hidden, layers.Dense(2)])


def decoder_of(model: keras.Model, until: str | None = None) -> keras.Model:
    return mirror("test", Encoder("test", model, until))


def kinds(decoder: keras.Model) -> list[str]:
    """What the decoder is made of, without input and the final cast."""
    return [type(layer).__name__ for layer in decoder.layers[1:-1]]


def shapes(decoder: keras.Model) -> list[tuple]:
    return [tuple(layer.output.shape[1:]) for layer in decoder.layers[1:-1]]


def test_dense_layers_are_mirrored_in_reverse_with_their_activations() -> None:
    decoder = decoder_of(
        chain((9,), layers.Dense(7, "tanh"), layers.Dense(7), layers.Dense(3, "relu"))
    )
    assert kinds(decoder) == ["Dense", "Dense", "Activation", "Dense"]
    assert shapes(decoder) == [(7,), (7,), (7,), (9,)]
    assert decoder.layers[3].activation is keras.activations.tanh


def test_a_chain_of_convolutions_is_mirrored_operation_by_operation() -> None:
    decoder = decoder_of(
        chain(
            (9, 9, 2),
            layers.Conv2D(4, 3, strides=2, padding="same", activation="elu"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(2),
            layers.Dropout(0.1),
            layers.Conv2D(6, 2),
            layers.LeakyReLU(0.3),
            layers.Flatten(),
            layers.Dense(5, "relu"),
        )
    )
    assert kinds(decoder) == [
        "Dense",
        "LeakyReLU",
        "Reshape",
        "Conv2DTranspose",
        "Activation",
        "Conv2DTranspose",
    ]
    assert decoder.output_shape == (None, 9, 9, 2)
    assert (1, 1, 6) in shapes(decoder) and (2, 2, 4) in shapes(decoder)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("size", [8, 9])
def test_every_element_of_the_inputs_can_be_reached(padding: str, size: int) -> None:
    model = chain((size, size, 1), layers.Conv2D(2, 3, strides=2, padding=padding))
    decoder = decoder_of(model)
    codes = np.ones((1, *decoder.input_shape[1:]), "float32")
    kernel = [layer for layer in decoder.layers if hasattr(layer, "kernel")][0]
    kernel.kernel.assign(np.ones(kernel.kernel.shape))
    decoded = keras.ops.convert_to_numpy(decoder(codes))
    assert decoded.shape == (1, size, size, 1) and (decoded > 0).all()


def test_of_a_residual_network_the_changes_of_shape_are_undone() -> None:
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(inputs)
    y = layers.Conv2D(6, 3, strides=2, padding="same")(x)
    x = layers.Add()([y, layers.Conv2D(6, 1, strides=2)(x)])
    x = layers.GlobalAveragePooling2D()(x)
    decoder = decoder_of(keras.Model(inputs, layers.Dense(2)(x)))
    assert shapes(decoder)[:2] == [(4 * 4 * 6,), (4, 4, 6)]
    assert decoder.output_shape == (None, 8, 8, 1)


def test_sequences_are_mirrored() -> None:
    model = chain(
        (12, 3),
        layers.Conv1D(4, 3, padding="causal", activation="relu"),
        layers.AveragePooling1D(2),
        layers.LSTM(7),
    )
    assert decoder_of(model).output_shape == (None, 12, 3)


def test_channels_first_is_kept() -> None:
    first = {"data_format": "channels_first"}
    model = chain(
        (2, 9, 8),
        layers.Conv2D(4, 3, strides=2, **first),
        layers.GlobalAveragePooling2D(**first),
    )
    decoder = decoder_of(model)
    assert (4, 4, 3) in shapes(decoder)
    assert decoder.output_shape == (None, 2, 9, 8)


def test_half_precision_is_kept_up_to_the_reconstruction() -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    decoder = decoder_of(chain((4,), layers.Dense(3, "relu"), layers.Dense(2)))
    dtypes = [layer.compute_dtype for layer in decoder.layers[1:]]
    assert dtypes == ["bfloat16"] * 3 + ["float32"]


def test_an_encoder_can_end_at_any_layer() -> None:
    model = chain((4,), layers.Dense(3, name="a"), layers.Dense(2, name="b"))
    assert decoder_of(model, "a").input_shape == (None, 3)
    assert decoder_of(model).input_shape == (None, 2)


def test_shapes_must_be_known() -> None:
    model = chain((None, 3), layers.LSTM(4))
    with pytest.raises(ValueError, match="or give a decoder"):
        decoder_of(model)
