"""Healthy programs for the fault suite: real data, models of several kinds.

A program is data about a training script, so that a fault is a change of one entry.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import keras
import numpy as np
from sklearn import datasets

ROWS = 3000
"""Of MNIST and Fashion-MNIST so many are trained on."""


@dataclass(frozen=True, eq=False)
class Program:
    """A script that trains one model.

    Attributes:
        name: Str.
        data: Str, key of `DATA`.
        body: Str, key of `BODIES`.
        seed: Int.
        widths: Tuple of ints, hidden layers.
        settings: Dict of what hidden layers are made with.
        last: Dict of what the last layer is made with.
        loss: Loss as in `compile`.
        optimizer: Str, name in `keras.optimizers`.
        rate: Float, the learning rate.
        options: Dict of further arguments of the optimizer.
        metrics: List of str.
        batch_size: Int.
        epochs: Int.
        shuffle: Bool.
        extra: Dict of what the body is told beside.
        change: Function of training inputs and targets that spoils them, or None.
        change_validation: Bool, whether validation data are spoilt in the same way.
    """

    name: str
    data: str
    body: str
    seed: int = 0
    widths: tuple[int, ...] = (64, 64)
    settings: dict[str, Any] = field(default_factory=lambda: {"activation": "relu"})
    last: dict[str, Any] = field(default_factory=dict)
    loss: Any = None
    optimizer: str = "Adam"
    rate: float = 1e-3
    options: dict[str, Any] = field(default_factory=dict)
    metrics: tuple[str, ...] = ()
    batch_size: int = 32
    epochs: int = 8
    shuffle: bool = True
    extra: dict[str, Any] = field(default_factory=dict)
    change: Callable[[np.ndarray, np.ndarray], tuple[Any, Any]] | None = None
    change_validation: bool = True

    @property
    def task(self) -> str:
        """`"classes"`, `"binary"`, `"quantities"` or `"images"` to be rebuilt."""
        return DATA[self.data][1]

    def arrays(self) -> tuple[np.ndarray, ...]:
        """Training inputs and targets, validation inputs and targets."""
        x, y, x_val, y_val = _split(self.data, self.seed)
        if self.change is not None:
            keras.utils.set_random_seed(self.seed)
            x, y = self.change(x, y)
            if self.change_validation:
                x_val, y_val = self.change(x_val, y_val)
        return x, y, x_val, y_val

    def model(self) -> keras.Model:
        """The compiled model."""
        keras.utils.set_random_seed(self.seed)
        x, _, _, _ = _split(self.data, self.seed)
        model = BODIES[self.body](self, x.shape[1:])
        optimizer = getattr(keras.optimizers, self.optimizer)
        model.compile(
            optimizer(self.rate, **self.options),
            self.loss or LOSSES[self.task],
            metrics=list(self.metrics or METRICS[self.task]),
        )
        return model

    def end(self) -> dict[str, Any]:
        """Arguments of the last layer."""
        return {**ENDS[self.task], **self.last}

    def but(self, **changes: Any) -> "Program":
        """The same with other entries; dicts are merged."""
        for name in ("settings", "last", "extra", "options"):
            if name in changes:
                changes[name] = {**getattr(self, name), **changes[name]}
        return replace(self, **changes)


LOSSES = {
    "classes": "sparse_categorical_crossentropy",
    "binary": "binary_crossentropy",
    "quantities": "mse",
    "images": "mse",
}
METRICS = {
    "classes": ("accuracy",),
    "binary": ("accuracy",),
    "quantities": ("mae",),
    "images": ("mae",),
}
ENDS: dict[str, dict[str, Any]] = {
    "classes": {"units": 10, "activation": "softmax"},
    "binary": {"units": 1, "activation": "sigmoid"},
    "quantities": {"units": 1, "activation": "linear"},
    "images": {"activation": "linear"},
}


def _digits() -> tuple[np.ndarray, np.ndarray]:
    x, y = datasets.load_digits(return_X_y=True)
    return (x / 16).astype("float32"), y


def _images(name: str) -> tuple[np.ndarray, np.ndarray]:
    (x, y), _ = getattr(keras.datasets, name).load_data()
    return (x[:ROWS] / 255).astype("float32"), y[:ROWS]


def _standardized(load: Any) -> tuple[np.ndarray, np.ndarray]:
    x, y = load(return_X_y=True)
    return ((x - x.mean(0)) / x.std(0)).astype("float32"), y


def _diabetes() -> tuple[np.ndarray, np.ndarray]:
    x, y = _standardized(datasets.load_diabetes)
    return x, ((y - y.mean()) / y.std()).astype("float32")


def _circles() -> tuple[np.ndarray, np.ndarray]:
    x, y = datasets.make_circles(1500, noise=0.1, factor=0.5, random_state=0)
    return (x * 1.4).astype("float32"), y


def _waves() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(1500, 4))
    y = np.sin(2 * x[:, 0]) + x[:, 1] * x[:, 2] + 0.1 * generator.normal(size=1500)
    return x.astype("float32"), ((y - y.mean()) / y.std()).astype("float32")


def _words() -> tuple[np.ndarray, np.ndarray]:
    """Sequences of ids; the class is which of ten words occurs."""
    generator = np.random.default_rng(0)
    x = generator.integers(20, 200, size=(2000, 16))
    y = generator.integers(0, 10, size=2000)
    x[np.arange(2000), generator.integers(0, 16, 2000)] = y + 1
    return x.astype("int32"), y


DATA: dict[str, tuple[Callable[[], Any], str]] = {
    "digits": (_digits, "classes"),
    "mnist": (lambda: _images("mnist"), "classes"),
    "fashion": (lambda: _images("fashion_mnist"), "classes"),
    "wine": (lambda: _standardized(datasets.load_wine), "classes"),
    "cancer": (lambda: _standardized(datasets.load_breast_cancer), "binary"),
    "circles": (_circles, "binary"),
    "diabetes": (_diabetes, "quantities"),
    "waves": (_waves, "quantities"),
    "words": (_words, "classes"),
    "pictures": (lambda: (_digits()[0], _digits()[0]), "images"),
}


@lru_cache(maxsize=32)
def _split(name: str, seed: int) -> tuple[np.ndarray, ...]:
    os.environ.setdefault("KERAS_HOME", os.path.expanduser("~/.keras"))
    x, y = DATA[name][0]()
    order = np.random.default_rng(seed).permutation(len(x))
    x, y = x[order], y[order]
    most = len(x) // 5
    return x[most:], y[most:], x[:most], y[:most]


def _dense(program: Program, shape: tuple[int, ...]) -> keras.Model:
    layers: list[Any] = [keras.Input(shape)]
    if len(shape) > 1:
        layers.append(keras.layers.Flatten())
    for width in program.widths:
        layers += [keras.layers.Dense(width, **program.settings), *_after(program)]
    return keras.Sequential([*layers, *_last(program, shape)])


def _convolutions(program: Program, shape: tuple[int, ...]) -> keras.Model:
    side = 8 if len(shape) == 1 else shape[0]
    layers: list[Any] = [keras.Input(shape), keras.layers.Reshape((side, side, 1))]
    for width in program.widths:
        convolution = keras.layers.Conv2D(width, 3, padding="same", **program.settings)
        layers += [convolution, *_after(program), keras.layers.MaxPooling2D()]
    layers += [keras.layers.Flatten()]
    return keras.Sequential([*layers, *_last(program, shape)])


def _recurrent(program: Program, shape: tuple[int, ...]) -> keras.Model:
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


def _attention(program: Program, shape: tuple[int, ...]) -> keras.Model:
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
    for layer in [*_after(program), *_last(program, shape)]:
        x = layer(x)
    return keras.Model(inputs, x)


def _after(program: Program) -> list[Any]:
    layers: list[Any] = []
    if program.extra.get("batch_norm"):
        layers.append(keras.layers.BatchNormalization())
    if program.extra.get("dropout"):
        layers.append(keras.layers.Dropout(program.extra["dropout"]))
    return layers


def _last(program: Program, shape: tuple[int, ...]) -> list[Any]:
    end = program.end()
    end.setdefault("units", int(np.prod(shape)))
    if program.data == "wine" and "units" not in program.last:
        end["units"] = 3
    layers: list[Any] = [keras.layers.Dense(**end)]
    if program.extra.get("last_dropout"):
        layers.append(keras.layers.Dropout(program.extra["last_dropout"]))
    return layers


def _subclassed(program: Program, shape: tuple[int, ...]) -> keras.Model:
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


BODIES: dict[str, Callable[[Program, tuple[int, ...]], keras.Model]] = {
    "dense": _dense,
    "convolutions": _convolutions,
    "recurrent": _recurrent,
    "attention": _attention,
    "subclassed": _subclassed,
}

TANH = {"activation": "tanh"}
HE = {"activation": "relu", "kernel_initializer": "he_normal"}
SELU = {"activation": "selu", "kernel_initializer": "lecun_normal"}
NARROW = (16, 32)


def healthy() -> list[Program]:
    """Programs that learn, odd but sound choices among them."""
    found = [
        Program("digits mlp", "digits", "dense"),
        Program(
            "digits tanh sgd",
            "digits",
            "dense",
            settings=TANH,
            optimizer="SGD",
            rate=0.1,
            options={"momentum": 0.9},
        ),
        Program("digits deep relu", "digits", "dense", widths=(64,) * 8, settings=HE),
        Program(
            "digits deep selu",
            "digits",
            "dense",
            widths=(64,) * 12,
            settings=SELU,
            rate=5e-4,
        ),
        Program(
            "digits batch norm",
            "digits",
            "dense",
            widths=(64,) * 6,
            extra={"batch_norm": True},
        ),
        Program("digits dropout", "digits", "dense", extra={"dropout": 0.5}, epochs=12),
        Program("digits cnn", "digits", "convolutions", widths=NARROW),
        Program("digits gru", "digits", "recurrent", widths=(32,), rate=3e-3),
        Program(
            "digits lstm",
            "digits",
            "recurrent",
            widths=(32,),
            rate=3e-3,
            extra={"cell": "LSTM"},
        ),
        Program("digits attention", "digits", "attention", widths=(64,)),
        Program("digits subclassed", "digits", "subclassed"),
        Program("digits rmsprop", "digits", "dense", optimizer="RMSprop"),
        Program(
            "digits adamw l2",
            "digits",
            "dense",
            optimizer="AdamW",
            settings={**HE, "kernel_regularizer": keras.regularizers.L2(1e-4)},
        ),
        Program(
            "digits nesterov",
            "digits",
            "dense",
            optimizer="SGD",
            rate=0.05,
            options={"momentum": 0.9, "nesterov": True, "clipnorm": 1.0},
        ),
        Program("mnist mlp", "mnist", "dense", widths=(128,)),
        Program("mnist cnn", "mnist", "convolutions", widths=NARROW, epochs=3),
        Program("fashion mlp", "fashion", "dense", widths=(128, 64)),
        Program("fashion cnn", "fashion", "convolutions", widths=NARROW, epochs=4),
        Program(
            "wine mlp",
            "wine",
            "dense",
            widths=(32,),
            epochs=40,
            batch_size=16,
            rate=3e-3,
        ),
        Program("cancer mlp", "cancer", "dense", widths=(32,), epochs=20),
        Program(
            "cancer tanh", "cancer", "dense", widths=(16, 16), settings=TANH, epochs=20
        ),
        Program("circles mlp", "circles", "dense", widths=(32, 32), epochs=20),
        Program(
            "circles sgd",
            "circles",
            "dense",
            widths=(32, 32),
            epochs=30,
            optimizer="SGD",
            rate=0.1,
            options={"momentum": 0.9},
        ),
        Program("diabetes mlp", "diabetes", "dense", widths=(32,), epochs=40),
        Program("waves mlp", "waves", "dense", widths=(64, 64), epochs=25, rate=3e-3),
        Program(
            "waves batch norm",
            "waves",
            "dense",
            widths=(64, 64),
            epochs=25,
            rate=3e-3,
            extra={"batch_norm": True},
        ),
        Program("words gru", "words", "recurrent", widths=(32,), rate=5e-3, epochs=15),
        Program(
            "words attention", "words", "attention", widths=(64,), rate=2e-3, epochs=10
        ),
        Program(
            "autoencoder",
            "pictures",
            "dense",
            widths=(32, 16, 32),
            epochs=20,
            rate=3e-3,
        ),
        Program(
            "autoencoder sigmoid",
            "pictures",
            "dense",
            widths=(32, 16, 32),
            epochs=20,
            rate=3e-3,
            last={"activation": "sigmoid"},
            loss="binary_crossentropy",
        ),
    ]
    return found
