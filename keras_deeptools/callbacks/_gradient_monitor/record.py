"""Gradient statistics of one optimizer, from the compiled step to the host."""

import contextlib
import math
from typing import Any

import numpy as np
from keras import ops

from keras_deeptools.callbacks._layer_selection import Held
from keras_deeptools.engine import Leaf, Recorder, tensors
from keras_deeptools.engine._backends.sampled_norms import sample, scaled_up

STATISTICS = ("norm", "max_abs", "zero_fraction", "update_ratio")
"""Names of the statistics; the first is always computed, the last after the update."""


class GradientRecord:
    """A ring buffer of statistics for the chosen variables of one optimizer.

    Each entry of the buffer has, for each name in `blocks`, a block of one number per
    variable. The update-to-weight ratio is kept as its two norms, so that those of a
    layer can be summed up.

    Args:
        leaf: `Leaf`.
        held: List of `Held`, the variables to watch.
        statistics: Names of `STATISTICS`.
        every: Int > 0. Record the updates whose number is a multiple of it.
        num_first: Int >= 0. The first updates, which are all recorded.
        sample_size: Int > 0. Elements of each variable from which norms are estimated;
            None: all.
    """

    def __init__(
        self,
        leaf: Leaf,
        held: list[Held],
        statistics: tuple[str, ...],
        every: int,
        num_first: int = 0,
        sample_size: int | None = None,
    ) -> None:
        self.leaf = leaf
        self.sample_size = sample_size
        self.held = held
        self.blocks = ["norm", "nonfinite"]
        self.blocks += [name for name in STATISTICS[1:-1] if name in statistics]
        self.with_updates = "update_ratio" in statistics
        if self.with_updates:
            self.blocks += ["weight", "change"]
        width = len(self.blocks) * len(held)
        self.recorder = Recorder(leaf, width, every, num_first=num_first)
        self._pending: list[Any] = []

    # In the step

    def observe_gradients(self, gradients: list[Any]) -> None:
        """Records the entry, or the part of it that is known before the update."""
        chosen = {held.position for held in self.held}
        places = [i for i, p in enumerate(self.leaf.positions) if p in chosen]
        if not self.recorder.may_be_due or not places:
            return
        watched = [gradients[i] for i in places]

        def compute() -> Any:
            return self._before(watched)

        if not self.with_updates:
            self.recorder.write(compute)
        elif self.recorder.every == 1 or self.sample_size is not None:
            # A sample costs less than to choose whether to compute it.
            self._pending = compute()
        else:
            zeros = ops.zeros((len(self.held),), "float32")
            blocks = [zeros for _ in self.blocks[:-2]]
            self._pending = tensors.choose(self.recorder.due, compute, lambda: blocks)

    def observe_updates(self, change_norms: Any, weight_norms: Any) -> None:
        """Completes the entry with the norms of the weights and of their updates."""
        if not self._pending:
            return
        pending, self._pending = self._pending, []
        sizes = [
            self._spread(norms, self.leaf.positions)
            for norms in (weight_norms, change_norms)
        ]
        self.recorder.write(lambda: [*pending, *sizes], is_known=True)

    def _before(self, gradients: list[Any]) -> list[Any]:
        chosen = {held.position for held in self.held}
        positions = [p for p in self.leaf.positions if p in chosen]
        limit = None if any(map(tensors.is_sparse, gradients)) else self.sample_size
        norms, nonfinite = tensors.norms([sample(g, limit) for g in gradients])
        blocks = [scaled_up(norms, gradients, limit), nonfinite]
        if "max_abs" in self.blocks:
            blocks.append(tensors.max_abs(gradients))
        if "zero_fraction" in self.blocks:
            shapes = [self.leaf.variables[position].shape for position in positions]
            sizes = [math.prod(shape) for shape in shapes]
            blocks.append(tensors.zero_fraction(gradients, sizes))
        return [self._spread(block, positions) for block in blocks]

    def _spread(self, values: Any, positions: list[int]) -> Any:
        """Puts values of the variables at `positions` in the order of `held`."""
        wanted = [held.position for held in self.held]
        if wanted == positions:
            return values
        # Variables without a gradient take the NaN that is appended.
        index = {position: i for i, position in enumerate(positions)}
        order = [index.get(position, len(positions)) for position in wanted]
        values = ops.concatenate([values, ops.full((1,), float("nan"), values.dtype)])
        return ops.take(values, ops.convert_to_tensor(order, "int32"), axis=0)

    # On the host

    def read(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The entries written since the last call: steps, and a table for each block.

        They are empty if the record was lost with a step that failed.
        """
        count = len(self.held)
        steps, rows = np.zeros(0, "int64"), np.zeros((0, len(self.blocks) * count))
        with contextlib.suppress(RuntimeError):
            steps, rows = self.recorder.read()
        tables = np.split(rows, len(self.blocks), axis=1)
        return steps, dict(zip(self.blocks, tables, strict=True))

    def read_skipped(self) -> int:
        """Updates that loss scaling has skipped since attaching."""
        if self.leaf.skipped is not None:
            with contextlib.suppress(RuntimeError):
                return int(self.leaf.read(self.leaf.skipped))
        return 0
