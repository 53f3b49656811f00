"""Healthy programs for the fault suite: real data, models of several kinds.

A program is data about a training script, so that a fault is a change of one entry.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np
from fault_bodies import BODIES
from fault_data import DATA, split


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
        x, y, x_val, y_val = split(self.data, self.seed)
        if self.change is not None:
            keras.utils.set_random_seed(self.seed)
            x, y = self.change(x, y)
            if self.change_validation:
                x_val, y_val = self.change(x_val, y_val)
        return x, y, x_val, y_val

    def model(self) -> keras.Model:
        """The compiled model."""
        keras.utils.set_random_seed(self.seed)
        x, _, _, _ = split(self.data, self.seed)
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
        own, further = self.change, changes.get("change")
        if own is not None and further is not None:
            changes["change"] = lambda x, y: own(*further(x, y))
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
