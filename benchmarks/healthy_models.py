"""Small healthy models of many kinds, each with data that it can learn.

`alarms.py` asks what the diagnostic tools say of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers

ROWS = 512
CLASSES = 4
LOSS = "sparse_categorical_crossentropy"

Arrays = tuple[Any, Any]


@dataclass(frozen=True, eq=False)
class Case:
    """A model and the data that it is trained on.

    Attributes:
        name: Str.
        data: Function that returns inputs and targets.
        model: Function that returns the model, not compiled.
        loss: Loss as in `compile`.
        optimizer: Function that returns an optimizer.
        frozen: Bool, whether all layers but the last are trained and frozen before.
        epochs: Int.
        named_by: Dict from `"audit"`, `"signals"` and `"gradients"` to the kinds of
            findings one of which must be there; empty for a healthy case.
    """

    name: str
    data: Callable[[], Arrays]
    model: Callable[[], keras.Model]
    loss: Any = LOSS
    optimizer: Callable[[], Any] = keras.optimizers.Adam
    frozen: bool = False
    epochs: int = 2
    named_by: tuple[tuple[str, str], ...] = ()

    def compiled(self) -> keras.Model:
        """The model, ready to be trained."""
        keras.utils.set_random_seed(0)
        model = self.model()
        if self.frozen:
            model.compile("adam", self.loss)
            model.fit(*self.data(), batch_size=16, epochs=3, verbose=0)
            for layer in model.layers[:-1]:
                layer.trainable = False
        model.compile(self.optimizer(), self.loss)
        return model


def table() -> Arrays:
    """Columns of mean 0 and variance 1; the class is which of four is largest."""
    x = np.random.default_rng(0).normal(size=(ROWS, 12)).astype("float32")
    return x, x[:, :CLASSES].argmax(1)


def amounts() -> Arrays:
    """The same columns, and a quantity."""
    x, _ = table()
    return x, (np.sin(x[:, :1]) + x[:, 1:2] * x[:, 2:3]).astype("float32")


def images() -> Arrays:
    """Images of mean 0 and variance 1; the class is the bright quadrant."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(ROWS, 16, 16, 3)), rng.integers(0, CLASSES, ROWS)
    for image, label in zip(x, y, strict=True):
        row, column = 8 * (label // 2), 8 * (label % 2)
        image[row : row + 8, column : column + 8] += 1.0
    return ((x - x.mean()) / x.std()).astype("float32"), y


def pictures() -> Arrays:
    """Smooth images to be rebuilt."""
    rng = np.random.default_rng(2)
    waves = np.sin(np.linspace(0, 6, 16) + rng.uniform(0, 6, (ROWS, 1)))
    x = (waves[:, :, None, None] * waves[:, None, :, None] * 1.4).astype("float32")
    return x, x


def words() -> Arrays:
    """Ids; the class is which of four words occurs."""
    rng = np.random.default_rng(3)
    x, y = rng.integers(10, 100, (ROWS, 20)), rng.integers(0, CLASSES, ROWS)
    for column in rng.permuted(np.tile(np.arange(20), (ROWS, 1)), axis=1)[:, :3].T:
        x[np.arange(ROWS), column] = y + 1
    return x.astype("int32"), y


def series() -> Arrays:
    """Sequences of four numbers; the class is which has the largest sum."""
    x = np.random.default_rng(4).normal(size=(ROWS, 20, 4)).astype("float32")
    return x, x.sum(1).argmax(1)


def rows_of_two() -> Arrays:
    """A table beside ids."""
    (x, y), (ids, _) = table(), words()
    return [x, ids[:, :1]], y


def targets_of_two() -> Arrays:
    """Two targets for a table."""
    (x, y), (_, z) = table(), amounts()
    return x, [y, z]


def mlp(
    *widths: int, activation: Any = "relu", end: int = CLASSES, **settings: Any
) -> Callable[[], keras.Model]:
    """Dense layers in a row, with a softmax or a linear unit at the end."""
    last = "softmax" if end == CLASSES else None

    def make() -> keras.Model:
        hidden = [layers.Dense(n, activation, **settings) for n in widths]
        output = layers.Dense(end, last)
        return keras.Sequential([keras.Input((12,)), *hidden, output])

    return make


def row(shape: tuple, *parts: Callable[[], Any], **end: Any) -> Callable:
    """Layers in a row, made anew for each model, with a softmax at the end."""

    def make() -> keras.Model:
        output = layers.Dense(**({"units": CLASSES, "activation": "softmax"} | end))
        made = [part() for part in parts]
        return keras.Sequential([keras.Input(shape), *made, output])

    return make


def conv(filters: int, **settings: Any) -> Callable[[], Any]:
    """A convolution of 3 x 3."""
    settings = {"padding": "same", "activation": "relu"} | settings
    return lambda: layers.Conv2D(filters, 3, **settings)


def normalized(units: int, activation: str = "relu") -> list[Callable[[], Any]]:
    """Dense, BatchNormalization, activation."""
    return [
        lambda: layers.Dense(units, use_bias=False),
        layers.BatchNormalization,
        lambda: layers.Activation(activation),
    ]


def residual_net(gamma: str = "ones", blocks: int = 4) -> keras.Model:
    """Blocks of two convolutions with BatchNormalization and a skip."""
    inputs = keras.Input((16, 16, 3))
    x = layers.Conv2D(16, 3, padding="same")(inputs)
    for _ in range(blocks):
        y = layers.Conv2D(16, 3, padding="same", use_bias=False)(x)
        y = layers.ReLU()(layers.BatchNormalization()(y))
        y = layers.Conv2D(16, 3, padding="same", use_bias=False)(y)
        y = layers.BatchNormalization(gamma_initializer=gamma)(y)
        x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(CLASSES, "softmax")(x))


def mobile_net(norm: bool = True) -> keras.Model:
    """Depthwise and pointwise convolutions in turn."""
    inputs = keras.Input((16, 16, 3))
    x = layers.Conv2D(16, 3, padding="same", activation="relu")(inputs)
    for filters, strides in ((16, 1), (32, 2), (32, 1)):
        x = layers.DepthwiseConv2D(3, strides, padding="same")(x)
        x = layers.ReLU()(layers.BatchNormalization()(x) if norm else x)
        x = layers.Conv2D(filters, 1)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x) if norm else x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(CLASSES, "softmax")(x))


def u_net() -> keras.Model:
    """Down, up, and skips that are concatenated."""
    x = inputs = keras.Input((16, 16, 1))
    skips = []
    for filters in (8, 16):
        x = conv(filters)()(conv(filters)()(x))
        skips.append(x)
        x = layers.MaxPooling2D()(x)
    x = conv(32)()(x)
    for filters in (16, 8):
        x = layers.Conv2DTranspose(filters, 2, 2, "same", activation="relu")(x)
        x = conv(filters)()(layers.Concatenate()([x, skips.pop()]))
    return keras.Model(inputs, layers.Conv2D(1, 1)(x))


def conv_autoencoder() -> keras.Model:
    """Strided convolutions, and transposed ones back."""
    back = [layers.Conv2DTranspose(n, 3, 2, "same", activation="relu") for n in (16, 8)]
    parts = [conv(8, strides=2)(), conv(16, strides=2)(), *back]
    return keras.Sequential(
        [keras.Input((16, 16, 1)), *parts, layers.Conv2D(1, 3, padding="same")]
    )


class Positions(layers.Layer):
    """Adds a vector for each position."""

    def build(self, shape: tuple[int, ...]) -> None:
        """Makes the vectors."""
        self.position = self.add_weight(
            shape=shape[1:], initializer="uniform", name="position"
        )

    def call(self, inputs: Any) -> Any:
        """Adds them."""
        return inputs + self.position


def transformer(
    blocks: int = 4, pre_norm: bool = True, norm: bool = True, **settings: Any
) -> keras.Model:
    """Self-attention and a feed-forward net in turn."""
    inputs = keras.Input((20,), dtype="int32")
    x = layers.Embedding(100, 32)(inputs)
    x = Positions()(x)

    def normalize(tensor: Any) -> Any:
        return layers.LayerNormalization()(tensor) if norm else tensor

    for _ in range(blocks):
        attention = layers.MultiHeadAttention(4, 8, **settings)
        first = layers.Dense(64, "gelu", **settings)
        second = layers.Dense(32, **settings)
        if pre_norm:
            y = normalize(x)
            x = x + attention(y, y)
            x = x + second(first(normalize(x)))
        else:
            x = normalize(x + attention(x, x))
            x = normalize(x + second(first(x)))
    x = layers.GlobalAveragePooling1D()(normalize(x) if pre_norm else x)
    return keras.Model(inputs, layers.Dense(CLASSES, "softmax")(x))


def vision_transformer() -> keras.Model:
    """Patches as tokens."""
    inputs = keras.Input((16, 16, 3))
    x = layers.Reshape((16, 24))(layers.Conv2D(24, 4, 4)(inputs))
    x = Positions()(x)
    for _ in range(2):
        y = layers.LayerNormalization()(x)
        x = x + layers.MultiHeadAttention(2, 12)(y, y)
        y = layers.Dense(48, "gelu")(layers.LayerNormalization()(x))
        x = x + layers.Dense(24)(y)
    x = layers.Flatten()(layers.LayerNormalization()(x))
    return keras.Model(inputs, layers.Dense(CLASSES, "softmax")(x))


def two_inputs() -> keras.Model:
    """Numbers and an id."""
    numbers, ids = keras.Input((12,)), keras.Input((1,), dtype="int32")
    looked_up = layers.Flatten()(layers.Embedding(100, 8)(ids))
    x = layers.Concatenate()([layers.Dense(32, "relu")(numbers), looked_up])
    x = layers.Dense(CLASSES, "softmax")(layers.Dense(32, "relu")(x))
    return keras.Model([numbers, ids], x)


def two_outputs() -> keras.Model:
    """A class and a quantity."""
    inputs = keras.Input((12,))
    x = layers.Dense(32, "relu")(layers.Dense(32, "relu")(inputs))
    first = layers.Dense(CLASSES, "softmax")(x)
    return keras.Model(inputs, [first, layers.Dense(1)(layers.Dense(16, "relu")(x))])


def wide_and_deep() -> keras.Model:
    """A linear part beside a deep one."""
    inputs = keras.Input((12,))
    x = layers.Dense(16, "relu")(layers.Dense(64, "relu")(inputs))
    x = layers.Concatenate()([inputs, x])
    return keras.Model(inputs, layers.Dense(CLASSES, "softmax")(x))


def zero_branches() -> keras.Model:
    """Residual blocks whose last layer begins at zero (Fixup)."""
    inputs = keras.Input((12,))
    x = layers.Dense(32, "relu")(inputs)
    for _ in range(6):
        y = layers.Dense(32, "relu", kernel_initializer="he_normal")(x)
        x = x + layers.Dense(32, kernel_initializer="zeros")(y)
    return keras.Model(inputs, layers.Dense(CLASSES, "softmax")(x))


def dilated() -> keras.Model:
    """Causal convolutions with gates and skips (WaveNet)."""
    inputs = keras.Input((20, 4))
    x = layers.Conv1D(16, 1)(inputs)
    for rate in (1, 2, 4):
        kind = {"padding": "causal", "dilation_rate": rate}
        gate = layers.Conv1D(16, 2, activation="sigmoid", **kind)(x)
        value = layers.Conv1D(16, 2, activation="tanh", **kind)(x)
        x = x + layers.Conv1D(16, 1)(gate * value)
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, layers.Dense(CLASSES, "softmax")(x))


def tied_towers() -> keras.Model:
    """One encoder for both halves of the columns."""
    inputs = keras.Input((12,))
    encoder = keras.Sequential([layers.Dense(32, "relu"), layers.Dense(16, "relu")])
    both = [encoder(inputs[:, :6]), encoder(inputs[:, 6:])]
    x = layers.Concatenate()([*both, both[0] - both[1]])
    return keras.Model(inputs, layers.Dense(CLASSES, "softmax")(x))


class Subclassed(keras.Model):
    """A model without a graph."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = [layers.Dense(32, "relu") for _ in range(3)]
        self.head = layers.Dense(CLASSES, "softmax")

    def call(self, inputs: Any) -> Any:
        """Dense layers in a row."""
        for layer in self.hidden:
            inputs = layer(inputs)
        return self.head(inputs)
