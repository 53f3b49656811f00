"""Splits inputs and Monte Carlo samples into passes, and collects their outputs."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._data.samples import RowBatches, inner_shapes, padded
from keras_deeptools.engine._dropout.monte_carlo_pass import StochasticPass, Tile
from keras_deeptools.uncertainty._output_statistics import (
    OutputStatistics,
    joined,
    stacked,
    statistics_of,
)

BLOCK = 32
"""Most inputs for which random numbers are drawn at once."""
BLOCK_ELEMENTS = 2**25
"""Most elements of the largest tensor, for one sample of a block of inputs."""
PASS_ELEMENTS = 2**20
"""Most elements of the largest tensor in a pass, so that it should fit into a cache."""
GROUP = 25
"""Most samples for which random numbers are drawn at once."""
MOST_SAMPLES = 100
"""Most samples in a pass, so that memory does not grow further with their number."""


def rows_of_batches(batch_size: int) -> int:
    """Returns whole blocks, or a part that fits into one, so that no tile spans two.

    Args:
        batch_size: Int >= 1, most inputs in a batch.
    """
    if batch_size >= BLOCK:
        return batch_size - batch_size % BLOCK
    return 1 << (batch_size.bit_length() - 1)


@dataclass
class Run:
    """Inputs of one length or size, one after another in the data.

    Attributes:
        shape: `Shape`, what the head computes for one input.
        first: Int, the number of the first input. The numbers determine which masks are
            drawn: a run begins where a block does.
        block: Int, most inputs for which random numbers are drawn at once.
        group: Int, the number of samples for which they are drawn at once.
        count: Int, inputs so far.
        found: For each tile the statistics of every output.
        samples: For each tile the samples of every output, if they are kept.
        kept: Features of the batches, if they are kept.
    """

    shape: Any
    first: int
    block: int
    group: int
    count: int = 0
    found: list[list[OutputStatistics]] = field(default_factory=list)
    samples: list[list[np.ndarray]] = field(default_factory=list)
    kept: list[Any] = field(default_factory=list)

    @property
    def end(self) -> int:
        """Int, the number after that of the last input."""
        return self.first + self.count

    def statistics(self) -> list[OutputStatistics]:
        """Returns for every output the statistics of all inputs."""
        return [stacked(list(each)) for each in zip(*self.found, strict=True)]

    def all_samples(self) -> list[np.ndarray]:
        """Returns for every output the samples of all inputs."""
        return [np.concatenate(each) for each in zip(*self.samples, strict=True)]


class Sampler:
    """Runs the passes of one prediction.

    Inputs go through the model in tiles that are parts of blocks, samples in groups;
    both depend only on the model and on `num_samples`, so that the random numbers do,
    too. Inputs of another length or size than those before begin a run of their own.

    Args:
        passes: `StochasticPass`.
        batches: `RowBatches` of `rows_of_batches` inputs.
        batch_rows: Int, most inputs in a batch.
        num_samples: Int, samples of an input that are taken at once.
        seed: Int.
        coherent: Bool, whether all inputs of a sample share their masks.
        verbose: As in `predict`.
        keep_on: Bool, whether `resume` may be called: features are kept for it.

    Attributes:
        structure: The outputs' structure, with None for tensors.
    """

    def __init__(
        self,
        passes: StochasticPass,
        batches: RowBatches,
        batch_rows: int,
        num_samples: int,
        seed: int,
        coherent: bool,
        verbose: str | int,
        keep_on: bool = False,
    ) -> None:
        self._passes = passes
        self._batches = batches
        self._batch_rows = batch_rows
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
        self._taken = 0
        self._runs: list[Run] = []
        self.structure: Any = None

    def run(self, keep_samples: bool = False) -> list[Run]:
        """Samples all inputs, in runs of equal length and size."""
        shapes = None
        for x in self._batches:
            count = len(keras.tree.flatten(x)[0])
            is_first = shapes != inner_shapes(x)
            shapes = inner_shapes(x)
            features = self._features(x, count, is_first)
            run = self._runs[-1]
            if self._keep_on:
                run.kept.append(_to_host(features, count))
            for start, rows in self._tiles(run, count):
                parts = self._tile(run, features, start, rows, run.end + start)
                if keep_samples:
                    kept = list(parts)
                    run.samples.append(_side_by_side(kept))
                    parts = iter(kept)
                run.found.append(_together(parts))
            run.count += count
        if not self._runs:
            raise ValueError(
                "mc_predict: `x` must hold at least one row. Received: empty data. "
                "Pass data with rows."
            )
        return self._runs

    def resume(
        self, rows: np.ndarray, done: int, num_samples: int
    ) -> list[OutputStatistics]:
        """Returns statistics of further samples of some inputs with kept features."""
        found = []
        before = base = 0
        for run in self._runs:
            mine = rows[(rows >= before) & (rows < before + run.count)] - before
            before += run.count
            if not len(mine):
                continue
            pool = _map(lambda *parts, m=mine: np.concatenate(parts)[m], *run.kept)
            for first in range(0, len(mine), self._batch_rows):
                count = min(self._batch_rows, len(mine) - first)
                x = _map(lambda a, i=first, n=count: a[i : i + n], pool)
                features = padded(x, self._padded(count))
                for start, size in self._tiles(run, count):
                    parts = self._tile(
                        run,
                        features,
                        start,
                        size,
                        base + first + start,
                        done,
                        num_samples,
                    )
                    found.append(_together(parts))
            base = _next_block(base + len(mine))
        return [stacked(list(each)) for each in zip(*found, strict=True)]

    def finish(self) -> None:
        """Ends the progress bar."""
        self._bar.update(self._taken, finalize=True)

    def _features(self, x: Any, count: int, is_first: bool) -> Any:
        """Returns features of a batch; the first one of other shapes begins a run."""
        rows = self._padded(count) if is_first else self._batch_rows
        x = padded(x, rows) if self._passes.pads_rows else x
        if not is_first:
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
        block = BLOCK
        while block > 1 and block * shape.width > BLOCK_ELEMENTS:
            block //= 2
        most = PASS_ELEMENTS // (block * shape.width)
        most = max(1, min(most, GROUP)) if not shape.rowless else 1
        first = _next_block(self._runs[-1].end) if self._runs else 0
        group = _even_share(self._num_samples, most)
        self._runs.append(Run(shape, first, block, group))
        return features

    def _padded(self, count: int) -> int:
        if not self._passes.pads_rows:
            return count
        return min(self._batch_rows, 1 << (count - 1).bit_length())

    def _tiles(self, run: Run, count: int) -> Iterator[tuple[int, int]]:
        """Yields the first input and the number of inputs of each tile of a batch."""
        size = min(run.block, self._batch_rows)
        for start in range(0, count, size):
            yield start, min(size, count - start)

    def _tile(
        self,
        run: Run,
        features: Any,
        start: int,
        rows: int,
        first_row: int,
        done: int = 0,
        num_samples: int | None = None,
    ) -> Iterator[list[np.ndarray]]:
        """Yields samples of the inputs of a tile for every output, pass by pass."""
        num_samples = num_samples or self._num_samples
        block = first_row // run.block
        is_whole = self._batch_rows >= run.block
        tile_rows = min(self._padded(rows), run.block)
        samples = self._samples_per_pass(run, tile_rows, num_samples)
        for taken in range(0, num_samples, samples):
            firsts = range(done + taken, done + taken + samples, run.group)
            tile = Tile(
                start=start,
                rows=tile_rows,
                samples=run.group,
                positions=tuple((f, -1 if self._coherent else block) for f in firsts),
                block=run.block,
                offset=None if is_whole else first_row % run.block,
                coherent=self._coherent,
            )
            outputs = self._passes.outputs(features, self._seed, tile)
            count = min(samples, num_samples - taken)
            self._taken += rows * count
            self._bar.update(self._taken, finalize=False)
            yield [output[:rows, :count] for output in outputs]

    def _samples_per_pass(self, run: Run, rows: int, num_samples: int) -> int:
        """Returns a number of whole groups, which is larger for few inputs."""
        if run.shape.rowless:
            return 1
        most = PASS_ELEMENTS // (rows * run.group * run.shape.width)
        most = max(1, min(most, MOST_SAMPLES // run.group))
        return run.group * _even_share(-(-num_samples // run.group), most)


def _next_block(row: int) -> int:
    """Returns the first number of the next block, at `row` or after it."""
    return -(-row // BLOCK) * BLOCK


def _even_share(total: int, most: int) -> int:
    """Returns the size of equal parts of `total`, none over `most`."""
    return -(-total // -(-total // most))


def _together(parts: Iterator[list[np.ndarray]]) -> list[OutputStatistics]:
    """Returns statistics of each output over all passes of a tile, pass by pass."""
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
    """Maps over the tensors of features; None in the place of a mask stays None."""
    return keras.tree.map_structure(
        lambda *leaves: None if leaves[0] is None else function(*leaves), *structures
    )
