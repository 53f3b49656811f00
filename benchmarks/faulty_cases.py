"""The faulty models that `alarms.py` looks at, and the findings that name each."""

from typing import Any

import keras
import numpy as np
from healthy_cases import (
    FLAT,
    GAP,
    HE,
    IMAGE,
    POOL,
    TOKENS,
    embedding,
    momentum,
    recurrent,
)
from healthy_models import (
    CLASSES,
    Case,
    amounts,
    conv,
    images,
    mlp,
    mobile_net,
    row,
    table,
    transformer,
    words,
)
from keras import layers

LARGE = keras.initializers.RandomNormal(stddev=0.5)


def normal(stddev: float) -> dict[str, Any]:
    """Settings of a layer with such an initializer, of other numbers in each."""

    def draw(shape: tuple[int, ...], dtype: Any = None) -> Any:
        return keras.random.normal(shape, stddev=stddev, dtype=dtype)

    return {"kernel_initializer": draw}


def sgd(rate: float, **options: Any) -> Any:
    """A function that makes the optimizer."""
    return lambda: keras.optimizers.SGD(rate, **options)


def adam(rate: float, **options: Any) -> Any:
    """A function that makes the optimizer."""
    return lambda: keras.optimizers.Adam(rate, **options)


def bytes_of_images() -> Any:
    """Images as files hold them."""
    x, y = images()
    return np.clip(x * 40 + 128, 0, 255).astype("uint8"), y


def with_nan() -> Any:
    """A table with one number missing."""
    x, y = table()
    x[100, 3] = np.nan
    return x, y


def all_frozen() -> keras.Model:
    """A model that cannot learn."""
    model = mlp(32, 32)()
    model.trainable = False
    return model


def growing_stream() -> keras.Model:
    """Sixteen blocks that add to the stream, without normalization or a factor."""
    inputs = keras.Input((12,))
    x = layers.Dense(64)(inputs)
    for _ in range(16):
        y = layers.Dense(64, "relu", **HE)(x)
        x = x + layers.Dense(64, **HE)(y)
    return keras.Model(inputs, layers.Dense(CLASSES, "softmax")(x))


def one_small_layer() -> keras.Model:
    """A model of which one kernel is a thousand times too small."""
    model = mlp(64, 64, 64, 64, **HE)()
    kernel = model.layers[2].kernel
    kernel.assign(kernel * 1e-3)
    return model


def found(**by_tool: str) -> Any:
    """Kinds, by tool, separated by commas; the first part of a kind is enough."""
    return tuple(by_tool.items())


FAULTY = [
    Case(
        "deep sigmoid",
        table,
        mlp(*[64] * 8, activation="sigmoid"),
        named_by=found(signals="vanishing gradient", gradients="vanishing"),
        optimizer=momentum,
    ),
    Case(
        "deep sigmoid funnel",
        table,
        mlp(256, 128, 128, 64, 64, 32, 32, activation="sigmoid"),
        named_by=found(signals="vanishing gradient"),
        optimizer=momentum,
    ),
    Case(
        "deep sigmoid cnn",
        images,
        row(
            IMAGE,
            *[conv(16, activation="sigmoid")] * 3,
            POOL,
            *[conv(32, activation="sigmoid")] * 3,
            GAP,
        ),
        named_by=found(signals="vanishing"),
        optimizer=momentum,
    ),
    Case(
        "small tanh",
        table,
        mlp(*[64] * 6, activation="tanh", **normal(0.01)),
        named_by=found(signals="vanishing signal", audit="vanishing"),
    ),
    Case(
        "small relu",
        table,
        mlp(*[64] * 6, **normal(0.01)),
        named_by=found(signals="vanishing signal", audit="vanishing"),
    ),
    Case(
        "small cnn",
        images,
        row(
            IMAGE,
            conv(8, **normal(0.01)),
            POOL,
            conv(16, **normal(0.01)),
            POOL,
            conv(16, **normal(0.01)),
            FLAT,
            lambda: layers.Dense(32, "relu", **normal(0.01)),
        ),
        named_by=found(signals="vanishing signal", audit="vanishing"),
    ),
    Case(
        "depthwise without norm",
        images,
        lambda: mobile_net(False),
        named_by=found(signals="vanishing signal", audit="wrong fans"),
    ),
    Case(
        "one small layer",
        table,
        one_small_layer,
        named_by=found(signals="vanishing signal"),
    ),
    Case(
        "large tanh",
        table,
        mlp(*[64] * 5, activation="tanh", **normal(1.0)),
        named_by=found(signals="saturated,exploding gradient", audit="exploding"),
    ),
    Case(
        "large relu",
        table,
        mlp(*[64] * 5, **normal(1.0)),
        named_by=found(signals="exploding signal", audit="exploding"),
    ),
    Case(
        "large cnn",
        images,
        row(
            IMAGE,
            conv(8, **normal(1.0)),
            POOL,
            conv(16, **normal(1.0)),
            POOL,
            conv(16, **normal(1.0)),
            FLAT,
        ),
        named_by=found(signals="exploding signal", audit="exploding"),
    ),
    Case(
        "twenty relu layers",
        table,
        mlp(*[64] * 20),
        named_by=found(signals="vanishing signal", audit="vanishing"),
    ),
    Case(
        "twenty relu layers on pixels",
        lambda: (np.abs(table()[0] * 60).clip(0, 255).round(), table()[1]),
        mlp(*[64] * 20),
        named_by=found(signals="unscaled pixels,vanishing signal", audit="vanishing"),
    ),
    Case(
        "selu with he, deep",
        table,
        mlp(*[64] * 20, activation="selu", **HE),
        named_by=found(signals="exploding signal", audit="initializer"),
    ),
    Case("growing stream", table, growing_stream, named_by=found(signals="exploding")),
    Case(
        "large transformer",
        words,
        lambda: transformer(4, norm=False, kernel_initializer=LARGE),
        named_by=found(signals="exploding"),
    ),
    Case(
        "zeros",
        table,
        mlp(32, 32, 32, kernel_initializer="zeros"),
        named_by=found(signals="dead,vanishing", gradients="dead"),
    ),
    Case(
        "dead relu",
        table,
        mlp(32, 32, 32, bias_initializer=keras.initializers.Constant(-10.0)),
        named_by=found(signals="dead", gradients="dead"),
    ),
    Case(
        "bytes",
        bytes_of_images,
        row(IMAGE, conv(16), POOL, conv(16), GAP),
        named_by=found(signals="unscaled pixels"),
    ),
    Case(
        "nan",
        with_nan,
        mlp(32, 32),
        named_by=found(signals="non-finite", gradients="non-finite"),
    ),
    Case(
        "sgd 10",
        table,
        mlp(32, 32),
        optimizer=sgd(10.0),
        named_by=found(gradients="large updates,exploding,dead,learning rate too high"),
    ),
    Case(
        "sgd 1, mse of hundreds",
        lambda: (amounts()[0], amounts()[1] * 100),
        mlp(32, 32, end=1),
        loss="mse",
        optimizer=sgd(1.0),
        named_by=found(gradients="large updates,exploding,non-finite"),
    ),
    Case(
        "adam 1",
        table,
        mlp(32, 32),
        optimizer=adam(1.0),
        named_by=found(gradients="large updates"),
    ),
    Case(
        "adam 1, cnn",
        images,
        row(IMAGE, conv(16), POOL, conv(32), POOL, FLAT),
        optimizer=adam(1.0),
        named_by=found(gradients="large updates"),
    ),
    Case(
        "adam 1e-9",
        table,
        mlp(32, 32),
        optimizer=adam(1e-9),
        named_by=found(gradients="learning rate too low"),
    ),
    Case(
        "adam 1e-7, lstm",
        words,
        row(TOKENS, embedding, recurrent("LSTM")),
        optimizer=adam(1e-7),
        named_by=found(gradients="learning rate too low"),
    ),
    Case(
        "sgd 1e-6",
        table,
        mlp(32, 32),
        optimizer=sgd(1e-6),
        named_by=found(gradients="learning rate too low"),
    ),
    Case(
        "sgd 1e-5, cnn",
        images,
        row(IMAGE, conv(16), POOL, conv(32), POOL, FLAT),
        optimizer=sgd(1e-5),
        named_by=found(gradients="learning rate too low"),
    ),
    Case(
        "clipnorm 1e-6",
        table,
        mlp(32, 32),
        optimizer=sgd(0.05, clipnorm=1e-6),
        named_by=found(gradients="clipping", audit="clipping"),
    ),
    Case(
        "clipvalue 1e-12, adam",
        table,
        mlp(32, 32),
        optimizer=adam(1e-3, clipvalue=1e-12),
        named_by=found(gradients="clipping", audit="clipping"),
    ),
    Case(
        "negative rate",
        table,
        mlp(32, 32),
        optimizer=sgd(-0.05),
        named_by=found(audit="learning rate", gradients="learning rate"),
    ),
    Case(
        "rate of zero",
        table,
        mlp(32, 32),
        optimizer=adam(0.0),
        named_by=found(audit="learning rate", gradients="learning rate,small updates"),
    ),
    Case(
        "all frozen",
        table,
        all_frozen,
        named_by=found(audit="everything is frozen", gradients="everything is frozen"),
    ),
]
