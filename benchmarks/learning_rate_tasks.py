"""The tasks, optimizers and schedules of learning_rate_regret.py.

A seed draws which samples train, which choose a learning rate (validation) and which
judge it (test), the weights, and the order of the batches. A training takes 90 to 190
updates and one to five seconds on one core.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, make_classification
from super_convergence_nets import resnet

from keras_deeptools.callbacks import HyperparameterScheduler, OneCycleScheduler
from keras_deeptools.schedules import FlatCosine

layers = keras.layers
Arrays = tuple[np.ndarray, np.ndarray]
NARROW = (8, 16, 32)
HALF = 10**0.5
PEAKS = {
    "SGD": [0.003 * HALF**power for power in range(7)],
    "AdamW": [1e-4 * HALF**power for power in range(7)],
    "Muon": [1e-3 * HALF**power for power in range(7)],
}
"""The grid of each optimizer: half decades. It is extended where its end is best."""


def optimizer(name: str, learning_rate: float) -> keras.optimizers.Optimizer:
    """One of `PEAKS`, with the arguments that its authors recommend."""
    if name == "SGD":
        return keras.optimizers.SGD(learning_rate, momentum=0.9)
    if name == "AdamW":
        return keras.optimizers.AdamW(learning_rate, weight_decay=0.01)
    return keras.optimizers.Muon(learning_rate, exclude_layers=["output"])


def callback(name: str, peak: float, updates: int) -> keras.callbacks.Callback:
    """What makes `fit` follow 1cycle or a cosine from the peak to 0."""
    if name == "one_cycle":
        return OneCycleScheduler(peak, updates)
    rates = FlatCosine(peak, updates, flat_fraction=0.0)
    return HyperparameterScheduler({"learning_rate": rates})


def multilayer(num_features: int, num_classes: int, width: int) -> keras.Model:
    """Two hidden layers with rectifiers."""
    hidden = [
        layers.Dense(width, "relu", kernel_initializer="he_normal") for _ in range(2)
    ]
    head = layers.Dense(num_classes, name="output")
    return keras.Sequential([keras.Input((num_features,)), *hidden, head])


def recurrent() -> keras.Model:
    """A gated recurrent unit over the lines of a digit."""
    head = layers.Dense(10, name="output")
    return keras.Sequential([keras.Input((8, 8)), layers.GRU(32), head])


def transformer(length: int = 14, features: int = 56, width: int = 32) -> keras.Model:
    """Two blocks of attention over pairs of lines of an image."""
    inputs = keras.Input((length, features))
    x = layers.Dense(width)(inputs)
    x = layers.Add()([x, Positions()(x)])
    for _ in range(2):
        y = layers.LayerNormalization()(x)
        y = layers.MultiHeadAttention(2, width // 2)(y, y)
        x = layers.Add()([x, y])
        y = layers.LayerNormalization()(x)
        y = layers.Dense(width)(layers.Dense(2 * width, "gelu")(y))
        x = layers.Add()([x, y])
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(x))
    return keras.Model(inputs, layers.Dense(10, name="output")(x))


class Positions(layers.Layer):
    """A learned vector for each place in a sequence."""

    def build(self, input_shape: Any) -> None:
        """Makes the vectors."""
        shape = (1, input_shape[1], input_shape[2])
        self.vectors = self.add_weight(
            shape=shape, initializer=keras.initializers.RandomNormal(stddev=0.02)
        )

    def call(self, inputs: Any) -> Any:
        """The vectors for each sample."""
        return keras.ops.zeros_like(inputs) + self.vectors


@cache
def images(path: Path) -> Arrays:
    """All images of a file, in `[-1, 1]`, and their classes."""
    with np.load(path) as data:
        x = np.concatenate([data["x_train"], data["x_test"]])
        y = np.concatenate([data["y_train"], data["y_test"]])
    return (x[..., None] / 127.5 - 1).astype("float32"), y.astype("int32")


@cache
def standardized(kind: str) -> Arrays:
    """A tabular set of scikit-learn, or its digits, each feature standardized."""
    if kind == "digits":
        x, y = load_digits(return_X_y=True)
        x = (x - 8) / 6
    elif kind == "breast cancer":
        x, y = load_breast_cancer(return_X_y=True)
        x = (x - x.mean(0)) / x.std(0)
    else:
        x, y = make_classification(
            12000, 20, n_informative=10, n_classes=6, class_sep=1.2, random_state=0
        )
        x = (x - x.mean(0)) / x.std(0)
    return x.astype("float32"), y.astype("int32")


@dataclass(frozen=True)
class Task:
    """A network and its data.

    Attributes:
        name: Str.
        arrays: Function from the folder of data to all samples.
        net: Function that makes the network.
        sizes: Three ints, samples to train on, to choose by, and to judge by.
        batch: Int, samples in a batch.
        epochs: Int.
    """

    name: str
    arrays: Callable[[Path], Arrays]
    net: Callable[[], keras.Model]
    sizes: tuple[int, int, int]
    batch: int
    epochs: int

    @property
    def updates(self) -> int:
        """Of a whole training."""
        return self.epochs * -(-self.sizes[0] // self.batch)

    def data(self, folder: Path, seed: int) -> list[Arrays]:
        """The samples to train on, to choose by, and to judge by, of a seed."""
        x, y = self.arrays(folder)
        order = np.random.default_rng(seed).permutation(len(y))
        ends = np.cumsum(self.sizes)[:-1]
        parts = np.split(order[: sum(self.sizes)], ends)
        return [(x[part], y[part]) for part in parts]

    def model(self, optimizer_name: str, seed: int, peak: float = 1e-3) -> keras.Model:
        """The network with the weights of a seed, compiled."""
        keras.utils.set_random_seed(seed)
        model = self.net()
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer(optimizer_name, peak), loss, metrics=["accuracy"])
        return model

    def train(
        self, folder: Path, names: tuple[str, str], seed: int, peak: float
    ) -> dict[str, float]:
        """Percent right of the two held-out parts, and the loss of the first."""
        train, *held_out = self.data(folder, seed)
        model = self.model(names[0], seed, peak)
        follow = callback(names[1], peak, self.updates)
        model.fit(*train, self.batch, epochs=self.epochs, verbose=0, callbacks=[follow])
        (loss, first), (_, second) = (
            model.evaluate(*part, batch_size=1000, verbose=0) for part in held_out
        )
        return {
            "validation": round(100 * first, 3),
            "test": round(100 * second, 3),
            "loss": round(loss, 5),
        }


def _flat(folder: Path) -> Arrays:
    x, y = images(folder / "mnist.npz")
    return x.reshape(len(x), -1), y


def _pairs_of_lines(folder: Path) -> Arrays:
    x, y = images(folder / "mnist.npz")
    return x.reshape(len(x), 14, 56), y


def _lines(folder: Path) -> Arrays:
    x, y = standardized("digits")
    return x.reshape(-1, 8, 8), y


def _fashion(folder: Path) -> Arrays:
    return images(folder / "fashion_mnist.npz")


TASKS = {
    task.name: task
    for task in (
        Task(
            "digits",
            lambda folder: standardized("digits"),
            lambda: multilayer(64, 10, 128),
            (897, 450, 450),
            64,
            10,
        ),
        Task(
            "breast cancer",
            lambda folder: standardized("breast cancer"),
            lambda: multilayer(30, 2, 64),
            (169, 200, 200),
            16,
            10,
        ),
        Task(
            "six classes",
            lambda folder: standardized("six classes"),
            lambda: multilayer(20, 6, 64),
            (2000, 5000, 5000),
            64,
            5,
        ),
        Task(
            "MNIST",
            _flat,
            lambda: multilayer(784, 10, 64),
            (3000, 5000, 5000),
            64,
            4,
        ),
        Task(
            "recurrent",
            _lines,
            recurrent,
            (897, 450, 450),
            64,
            12,
        ),
        Task(
            "transformer",
            _pairs_of_lines,
            transformer,
            (3000, 4000, 4000),
            64,
            4,
        ),
        Task(
            "Fashion-MNIST, 1,500",
            _fashion,
            lambda: resnet(NARROW),
            (1500, 4000, 4000),
            128,
            8,
        ),
        Task(
            "Fashion-MNIST, 6,000",
            _fashion,
            lambda: resnet(NARROW),
            (6000, 4000, 4000),
            128,
            3,
        ),
    )
}
