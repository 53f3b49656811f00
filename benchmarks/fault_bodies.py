"""Model architectures for the fault suite: each a function of a program."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np


def _dense(program: Any, shape: tuple[int, ...]) -> keras.Model:
    layers: list[Any] = [keras.Input(shape)]
    if len(shape) > 1:
        layers.append(keras.layers.Flatten())
    for width in program.widths:
        layers += [keras.layers.Dense(width, **program.settings), *_after(program)]
    return keras.Sequential([*layers, *_last(program, shape)])


def _convolutions(program: Any, shape: tuple[int, ...]) -> keras.Model:
    side = 8 if len(shape) == 1 else shape[0]
    layers: list[Any] = [keras.Input(shape), keras.layers.Reshape((side, side, 1))]
    for width in program.widths:
        convolution = keras.layers.Conv2D(width, 3, padding="same", **program.settings)
        layers += [convolution, *_after(program), keras.layers.MaxPooling2D()]
    layers += [keras.layers.Flatten()]
    return keras.Sequential([*layers, *_last(program, shape)])


def _recurrent(program: Any, shape: tuple[int, ...]) -> keras.Model:
    kind = getattr(keras.layers, program.extra.get("cell", "GRU"))
    layers: list[Any] = [keras.Input(shape)]
    if program.data == "words":
        layers.append(keras.layers.Embedding(200, 16))
    elif len(shape) == 1:
        layers.append(keras.layers.Reshape((8, 8)))
    *before, width = program.widths
    for each in before:
        layers.append(kind(each, return_sequences=True))
    layers.append(kind(width, return_sequences=program.extra.get("sequences", False)))
    if program.extra.get("sequences"):
        layers.append(keras.layers.Flatten())
    return keras.Sequential([*layers, *_after(program), *_last(program, shape)])


def _attention(program: Any, shape: tuple[int, ...]) -> keras.Model:
    inputs = keras.Input(shape)
    if program.data == "words":
        x = keras.layers.Embedding(200, 32)(inputs)
    else:
        x = keras.layers.Dense(32)(keras.layers.Reshape((8, 8))(inputs))
    for width in program.widths:
        normalized = keras.layers.LayerNormalization()(x)
        attended = keras.layers.MultiHeadAttention(4, 8)(normalized, normalized)
        x = keras.layers.Add()([x, attended])
        normalized = keras.layers.LayerNormalization()(x)
        hidden = keras.layers.Dense(width, **program.settings)(normalized)
        x = keras.layers.Add()([x, keras.layers.Dense(32)(hidden)])
    x = keras.layers.GlobalAveragePooling1D()(keras.layers.LayerNormalization()(x))
    return _ended(program, shape, inputs, x)


def _residual(program: Any, shape: tuple[int, ...]) -> keras.Model:
    inputs = keras.Input(shape)
    width = program.widths[0]
    x = keras.layers.Flatten()(inputs) if len(shape) > 1 else inputs
    x = keras.layers.Dense(width)(x)
    for _ in program.widths:
        hidden = keras.layers.LayerNormalization()(x)
        hidden = keras.layers.Dense(2 * width, **program.settings)(hidden)
        x = keras.layers.Add()([x, keras.layers.Dense(width)(hidden)])
    x = keras.layers.LayerNormalization()(x)
    return _ended(program, shape, inputs, x)


def _separable(program: Any, shape: tuple[int, ...]) -> keras.Model:
    inputs = keras.Input(shape)
    side = 8 if len(shape) == 1 else shape[0]
    x = keras.layers.Reshape((side, side, 1))(inputs)
    x = keras.layers.Conv2D(program.widths[0], 3, padding="same")(x)
    for width in program.widths:
        x = keras.layers.SeparableConv2D(width, 3, padding="same", use_bias=False)(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.Activation(program.settings["activation"])(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return _ended(program, shape, inputs, x)


def _branches(program: Any, shape: tuple[int, ...]) -> keras.Model:
    inputs = keras.Input(shape)
    x = keras.layers.Flatten()(inputs) if len(shape) > 1 else inputs
    wide = keras.layers.Dense(program.widths[0], **program.settings)(x)
    deep = x
    for width in program.widths:
        deep = keras.layers.Dense(width, **program.settings)(deep)
    return _ended(program, shape, inputs, keras.layers.Concatenate()([wide, deep]))


def _bidirectional(program: Any, shape: tuple[int, ...]) -> keras.Model:
    inputs = keras.Input(shape)
    x = inputs
    if program.data == "words":
        x = keras.layers.Embedding(200, 16)(x)
    elif len(shape) == 1:
        x = keras.layers.Reshape((8, 8))(x)
    for number, width in enumerate(program.widths, 1):
        more = number < len(program.widths)
        cells = keras.layers.LSTM(width, return_sequences=more)
        x = keras.layers.Bidirectional(cells)(x)
    return _ended(program, shape, inputs, x)


def _bag(program: Any, shape: tuple[int, ...]) -> keras.Model:
    inputs = keras.Input(shape)
    x = keras.layers.Embedding(200, 32)(inputs)
    x = keras.layers.GlobalAveragePooling1D()(x)
    for width in program.widths:
        x = keras.layers.Dense(width, **program.settings)(x)
    return _ended(program, shape, inputs, x)


def _ended(program: Any, shape: tuple[int, ...], inputs: Any, x: Any) -> keras.Model:
    for layer in [*_after(program), *_last(program, shape)]:
        x = layer(x)
    return keras.Model(inputs, x)


def _after(program: Any) -> list[Any]:
    layers: list[Any] = []
    if program.extra.get("batch_norm"):
        layers.append(keras.layers.BatchNormalization())
    if program.extra.get("dropout"):
        layers.append(keras.layers.Dropout(program.extra["dropout"]))
    return layers


def _last(program: Any, shape: tuple[int, ...]) -> list[Any]:
    end = program.end()
    end.setdefault("units", int(np.prod(shape)))
    if program.data in ("wine", "iris") and "units" not in program.last:
        end["units"] = 3
    layers: list[Any] = [keras.layers.Dense(**end)]
    if program.extra.get("last_dropout"):
        layers.append(keras.layers.Dropout(program.extra["last_dropout"]))
    return layers


def _subclassed(program: Any, shape: tuple[int, ...]) -> keras.Model:
    inner = _dense(program, shape)

    class Network(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.parts = inner.layers

        def call(self, x: Any, training: bool = False) -> Any:
            for layer in self.parts:
                takes = isinstance(
                    layer,
                    (keras.layers.Dropout, keras.layers.BatchNormalization),
                )
                x = layer(x, training=training) if takes else layer(x)
            return x

    return Network()


BODIES: dict[str, Callable[[Any, tuple[int, ...]], keras.Model]] = {
    "dense": _dense,
    "convolutions": _convolutions,
    "recurrent": _recurrent,
    "attention": _attention,
    "subclassed": _subclassed,
    "residual": _residual,
    "separable": _separable,
    "branches": _branches,
    "bidirectional": _bidirectional,
    "bag": _bag,
}
