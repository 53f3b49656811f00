"""What the networks of glorot_networks.py learn: Shapeset-3x2, or MNIST."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import glorot_shapeset
import numpy as np

BATCH = 10
PARTS = ((2, 5_000), (3, 20_000))
"""Seed and number of the images to validate with, and to test with."""

Rows = tuple[np.ndarray, np.ndarray]


class Data:
    """Images and classes, every pixel with one shift and one scale.

    Args:
        name: Str.
        num_classes: Int.
        draw: Function of a generator that returns images (uint8) and their classes.
        held_out: Images and classes to validate with, and to test with.
        mean: Float, mean of the pixels.
        deviation: Float, their standard deviation.
    """

    def __init__(
        self,
        name: str,
        num_classes: int,
        draw: Callable[[np.random.Generator], Rows],
        held_out: list[Rows],
        mean: float,
        deviation: float,
    ) -> None:
        self.name, self.num_classes = name, num_classes
        self._draw, self.mean, self.deviation = draw, mean, deviation
        self.validation, self.test = (self._scaled(*rows) for rows in held_out)
        self._seed: int | None = None

    def _scaled(self, images: np.ndarray, classes: np.ndarray) -> Rows:
        x = images.reshape(len(images), -1).astype("float32")
        return (x - self.mean) / self.deviation, classes

    def batches(self, seed: int) -> Iterator[Rows]:
        """An endless stream; what a seed gave is kept until another is asked for."""
        if seed != self._seed:
            self._seed, self._rng = seed, np.random.default_rng([1, seed])
            self._blocks: list[Rows] = []
        for index in count():
            if index == len(self._blocks):
                self._blocks.append(self._draw(self._rng))
            x, y = self._scaled(*self._blocks[index])
            for start in range(0, len(x) - BATCH + 1, BATCH):
                yield x[start : start + BATCH], y[start : start + BATCH]

    def blocks(self, seed: int, rows: int) -> Iterator[Rows]:
        """The stream of `batches`, without end and kept nowhere.

        Yields:
            Pixels, uint8 `(rows, pixels)`, not scaled; classes, int32 `(rows,)`.
        """
        rng = np.random.default_rng([1, seed])
        while True:
            images, classes = self._draw(rng)
            for start in range(0, len(images) - rows + 1, rows):
                part = slice(start, start + rows)
                pixels = images[part].reshape(rows, -1)
                yield pixels, classes[part].astype("int32")


def shapeset() -> Data:
    """Shapeset-3x2, each image seen once."""
    held_out = [glorot_shapeset.draw(np.random.default_rng(s), n) for s, n in PARTS]
    num_classes = glorot_shapeset.NUM_CLASSES
    return Data(
        "shapeset",
        num_classes,
        lambda rng: glorot_shapeset.draw(rng, 10_000),
        held_out,
        mean=21.8,
        deviation=56.7,
    )


def mnist(path: Path) -> Data:
    """MNIST, the last 10,000 training images held out for validation."""
    with np.load(path) as file:
        x, y = file["x_train"], file["y_train"]
        test = file["x_test"], file["y_test"]
    num = len(x) - 10_000

    def draw(rng: np.random.Generator) -> Rows:
        order = rng.permutation(num)
        return x[order], y[order]

    held_out = [(x[num:], y[num:]), test]
    return Data("mnist", 10, draw, held_out, mean=33.3, deviation=78.6)
