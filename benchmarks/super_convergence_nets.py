"""Images, order of batches and the small ResNet of super_convergence.py."""

from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

layers = keras.layers
WIDTHS = (16, 32, 64)
NUM_VALIDATION, NUM_TEST = 4000, 4000


class Part(NamedTuple):
    """Images `(rows, 28, 28, 1)`, standardized, and their classes."""

    x: np.ndarray
    y: np.ndarray

    def first(self, num_rows: int) -> "Part":
        """The first rows."""
        return Part(self.x[:num_rows], self.y[:num_rows])


class Images(NamedTuple):
    """Rows to train on, to choose rates and targets by, and to test on."""

    train: Part
    validation: Part
    test: Part


def standardized(x: np.ndarray) -> np.ndarray:
    """Pixels of Fashion-MNIST with mean 0 and deviation 1, and a channel."""
    return ((x[..., None] / 255.0 - 0.286) / 0.353).astype("float32")


def images(path: Path | None) -> Images:
    """Fashion-MNIST: the last rows of its training set are held out.

    Args:
        path: File with x_train, y_train, x_test and y_test. None: Keras loads it.
    """
    if path is None:
        (x, y), (x_test, y_test) = keras.datasets.fashion_mnist.load_data()
    else:
        with np.load(path) as data:
            x, y, x_test, y_test = (
                data[name] for name in ("x_train", "y_train", "x_test", "y_test")
            )
    held = min(NUM_VALIDATION, len(x) // 2)
    return Images(
        Part(x[:-held], y[:-held]),
        Part(standardized(x[-held:]), y[-held:]),
        Part(standardized(x_test[:NUM_TEST]), y_test[:NUM_TEST]),
    )


def drawn(train: Part, size: int, seed: int) -> Part:
    """Training images of a seed: those of a small size are among those of a large."""
    rows = np.random.default_rng(seed).permutation(len(train.y))[:size]
    return Part(standardized(train.x[rows]), train.y[rows])


class Batches(keras.utils.PyDataset):
    """Full batches, in an order that depends on seed and epoch alone.

    Args:
        part: What to train on.
        batch: Int, rows in a batch.
        seed: Int.
    """

    def __init__(self, part: Part, batch: int, seed: int) -> None:
        super().__init__()
        self.part, self.batch, self.seed = part, batch, seed
        self.epoch = 0
        self.order = self._order()

    def _order(self) -> np.ndarray:
        rng = np.random.default_rng([self.seed, self.epoch])
        return rng.permutation(len(self.part.y))

    def on_epoch_end(self) -> None:
        """Draws the next order."""
        self.epoch += 1
        self.order = self._order()

    def __len__(self) -> int:
        return len(self.part.y) // self.batch

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        rows = self.order[index * self.batch : (index + 1) * self.batch]
        return self.part.x[rows], self.part.y[rows]


def normalized(width: int, kernel: int, stride: int, x: Any) -> Any:
    """A convolution and batch normalization.

    The moving statistics follow at 0.9, torch's default: with Keras' 0.99 they lag
    behind in runs of fifty updates.
    """
    x = layers.Conv2D(
        width,
        kernel,
        stride,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
    )(x)
    return layers.BatchNormalization(momentum=0.9)(x)


def resnet(widths: tuple[int, ...] = WIDTHS) -> keras.Model:
    """A residual block of two convolutions for each width; all halve the images."""
    inputs = keras.Input((28, 28, 1))
    x = layers.ReLU()(normalized(widths[0], 3, 2, inputs))
    for width in widths:
        y = layers.ReLU()(normalized(width, 3, 2, x))
        y = normalized(width, 3, 1, y)
        x = layers.ReLU()(layers.Add()([normalized(width, 1, 2, x), y]))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(10)(x))
