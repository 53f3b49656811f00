"""Cutting rows and samples into passes, and collecting what they give."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._rows import RowBatches, padded
from keras_deeptools.engine._stochastic_pass import StochasticPass, Tile
from keras_deeptools.uncertainty._output_statistics import (
    OutputStatistics,
    joined,
    stacked,
    statistics_of,
)

BLOCK = 32
"""Most rows for which random numbers are drawn at once."""
BLOCK_ELEMENTS = 2**25
"""Most elements of the largest tensor, for one sample of a block of rows."""
PASS_ELEMENTS = 2**20
"""Most elements of the largest tensor in a pass: it should fit into a cache."""
GROUP = 25
"""Most samples for which random numbers are drawn at once."""
MOST_SAMPLES = 100
"""Most samples in a pass, so that memory stays the same from there on."""


class Sampler:
    """Runs the passes of one prediction.

    Rows go through the model in tiles that are parts of blocks, samples in groups;
    both depend on the model and on `num_samples` alone, so that the random numbers do.

    Args:
        passes: `StochasticPass`.
        x: Data.
        batch_size: Int, most rows in a batch.
        num_samples: Int, samples of a row that are taken at once.
        seed: Int.
        coherent: Bool, whether all rows of a sample share their masks.
        verbose: As in `predict`.
        keep_on: Bool, whether `resume` may be called: features are kept for it.

    Attributes:
        num_rows: Int, rows seen so far.
        structure: The outputs' structure, with None for tensors.
    """

    def __init__(
        self,
        passes: StochasticPass,
        x: Any,
        batch_size: int,
        num_samples: int,
        seed: int,
        coherent: bool,
        verbose: str | int,
        keep_on: bool = False,
    ) -> None:
        self._passes = passes
        # Whole blocks, or a part that fits into one, so that no tile lies in two.
        whole = batch_size >= BLOCK
        self._batch_rows = batch_size - batch_size % BLOCK if whole else 1
        while not whole and self._batch_rows * 2 <= batch_size:
            self._batch_rows *= 2
        self._batches = RowBatches(x, self._batch_rows)
        self._num_samples = num_samples
        self._seed = seed
        self._coherent = coherent
        self._keep_on = keep_on
        total = None if keep_on else self._batches.num_rows
        self._bar = keras.utils.Progbar(
            total and total * num_samples,
            verbose=1 if verbose == "auto" else verbose,
            unit_name="sample",
        )
        self._block = self._group = 0
        self._kept: list[Any] = []
        self._taken = 0
        self.num_rows = 0
        self.structure: Any = None

    def run(
        self, keep_samples: bool = False
    ) -> tuple[list[OutputStatistics], list[np.ndarray] | None]:
        """Samples all rows; for every output its statistics, and samples if kept."""
        found: list[list[OutputStatistics]] = []
        samples: list[list[np.ndarray]] = []
        for x in self._batches:
            count = len(keras.tree.flatten(x)[0])
            features = self._features(x, count)
            if self._keep_on:
                self._kept.append(_to_host(features, count))
            for start, rows in self._tiles(count):
                parts = self._tile(features, start, rows, self.num_rows + start)
                if keep_samples:
                    kept = list(parts)
                    samples.append(_side_by_side(kept))
                    parts = iter(kept)
                found.append(_together(parts))
            self.num_rows += count
        if not found:
            raise ValueError(
                "mc_predict: `x` must hold at least one row. Received: empty data. "
                "Pass data with rows."
            )
        statistics = [stacked(list(each)) for each in zip(*found, strict=True)]
        if not keep_samples:
            return statistics, None
        return statistics, [np.concatenate(each) for each in zip(*samples, strict=True)]

    def resume(
        self, rows: np.ndarray, done: int, num_samples: int
    ) -> list[OutputStatistics]:
        """Statistics of further samples of some rows, whose features were kept."""
        pool = _map(lambda *parts: np.concatenate(parts)[rows], *self._kept)
        found = []
        for first in range(0, len(rows), self._batch_rows):
            count = min(self._batch_rows, len(rows) - first)
            x = _map(lambda a, i=first, n=count: a[i : i + n], pool)
            features = padded(x, self._padded(count))
            for start, size in self._tiles(count):
                parts = self._tile(
                    features, start, size, first + start, done, num_samples
                )
                found.append(_together(parts))
        return [stacked(list(each)) for each in zip(*found, strict=True)]

    def finish(self) -> None:
        """Ends the progress bar."""
        self._bar.update(self._taken, finalize=True)

    def _features(self, x: Any, count: int) -> Any:
        more_to_come = self.num_rows > 0
        rows = self._batch_rows if more_to_come else self._padded(count)
        x = padded(x, rows) if self._passes.pads_rows else x
        if more_to_come:
            return self._passes.features(x)
        try:
            features = self._passes.features(x)
            shape = self._passes.shape(features)
        except Exception as error:
            received = keras.tree.map_structure(lambda a: a.shape, x)
            raise ValueError(
                "mc_predict: `x` must be data that the model takes. Received: arrays "
                f"of shape {received}, for which it raised {type(error).__name__}: "
                f"{str(error).splitlines()[0] if str(error) else ''}"
            ) from error
        self.structure = shape.outputs
        self._block = BLOCK
        while self._block > 1 and self._block * shape.width > BLOCK_ELEMENTS:
            self._block //= 2
        most = PASS_ELEMENTS // (self._block * shape.width)
        most = max(1, min(most, GROUP)) if not shape.rowless else 1
        self._group = _even_share(self._num_samples, most)
        self._shape = shape
        return features

    def _padded(self, count: int) -> int:
        if not self._passes.pads_rows:
            return count
        return min(self._batch_rows, 1 << (count - 1).bit_length())

    def _tiles(self, count: int) -> Iterator[tuple[int, int]]:
        """First row and number of rows of each tile of a batch."""
        size = min(self._block, self._batch_rows)
        for start in range(0, count, size):
            yield start, min(size, count - start)

    def _tile(
        self,
        features: Any,
        start: int,
        rows: int,
        first_row: int,
        done: int = 0,
        num_samples: int | None = None,
    ) -> Iterator[list[np.ndarray]]:
        """Samples of the rows of a tile, a pass at a time, for every output."""
        num_samples = num_samples or self._num_samples
        block = first_row // self._block
        is_whole = self._batch_rows >= self._block
        tile_rows = min(self._padded(rows), self._block)
        samples = self._samples_per_pass(tile_rows, num_samples)
        for taken in range(0, num_samples, samples):
            firsts = range(done + taken, done + taken + samples, self._group)
            tile = Tile(
                start=start,
                rows=tile_rows,
                samples=self._group,
                positions=tuple((f, -1 if self._coherent else block) for f in firsts),
                block=self._block,
                offset=None if is_whole else first_row % self._block,
                coherent=self._coherent,
            )
            outputs = self._passes.outputs(features, self._seed, tile)
            count = min(samples, num_samples - taken)
            self._taken += rows * count
            self._bar.update(self._taken, finalize=False)
            yield [output[:rows, :count] for output in outputs]

    def _samples_per_pass(self, rows: int, num_samples: int) -> int:
        """A number of whole groups; more of them where there are few rows."""
        if self._shape.rowless:
            return 1
        most = PASS_ELEMENTS // (rows * self._group * self._shape.width)
        most = max(1, min(most, MOST_SAMPLES // self._group))
        return self._group * _even_share(-(-num_samples // self._group), most)


def _even_share(total: int, most: int) -> int:
    """The size of equal parts of `total`, none over `most`."""
    return -(-total // -(-total // most))


def _together(parts: Iterator[list[np.ndarray]]) -> list[OutputStatistics]:
    """Statistics of each output over all passes of a tile, one pass at a time."""
    count = 0
    statistics: list[OutputStatistics] = []
    for part in parts:
        new = [statistics_of(samples) for samples in part]
        more = part[0].shape[1]
        del part
        if count:
            pairs = zip(statistics, new, strict=True)
            new = [joined(old, count, each, more) for old, each in pairs]
        statistics = new
        count += more
    return statistics


def _side_by_side(parts: list[list[np.ndarray]]) -> list[np.ndarray]:
    return [np.concatenate(each, axis=1) for each in zip(*parts, strict=True)]


def _to_host(features: Any, count: int) -> Any:
    return _map(lambda x: keras.ops.convert_to_numpy(x)[:count], features)


def _map(function: Any, *structures: Any) -> Any:
    """Maps over the tensors of features; where there is no mask there stays none."""
    return keras.tree.map_structure(
        lambda *leaves: None if leaves[0] is None else function(*leaves), *structures
    )
