"""What the networks of glorot_networks.py learn: Shapeset-3x2, or MNIST."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import glorot_shapeset
import numpy as np

BATCH = 10


@dataclass(frozen=True)
class Data:
    """Where rows come from.

    Attributes:
        name: Str.
        num_classes: Int.
        draw: Function of a generator that returns new rows and their classes.
        validation: Rows and classes.
        test: Rows and classes.
    """

    name: str
    num_classes: int
    draw: Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]
    validation: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]

    def batches(self, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """An endless stream."""
        rng = np.random.default_rng([1, seed])
        while True:
            x, y = self.draw(rng)
            for start in range(0, len(x) - BATCH + 1, BATCH):
                yield x[start : start + BATCH], y[start : start + BATCH]


def shapeset() -> Data:
    """Shapeset-3x2, every pixel with the same shift and scale: mean 0, deviation 1."""

    def draw(rng: np.random.Generator, size: int = 10_000) -> tuple:
        images, classes = glorot_shapeset.draw(rng, size)
        return (images.reshape(size, -1) - 0.085) / 0.22, classes

    held = [draw(np.random.default_rng(part), size) for part, size in PARTS]
    return Data("shapeset", glorot_shapeset.NUM_CLASSES, draw, *held)


PARTS = ((2, 5_000), (3, 20_000))
"""Seed and number of the images to validate with, and to test with."""


def mnist(path: Path) -> Data:
    """MNIST, the last 10,000 training images held out for validation."""
    with np.load(path) as file:
        scaled = [(file[f"x_{p}"] / 255 - 0.1307) / 0.3081 for p in ("train", "test")]
        x, x_test = (each.reshape(-1, 784).astype("float32") for each in scaled)
        y, y_test = file["y_train"], file["y_test"]
    num = len(x) - 10_000

    def draw(rng: np.random.Generator) -> tuple:
        order = rng.permutation(num)
        return x[order], y[order]

    return Data("mnist", 10, draw, (x[num:], y[num:]), (x_test, y_test))
