"""A ring buffer on the device that the compiled step writes and the host reads."""

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from keras_deeptools.engine._backends.active import tensors
from keras_deeptools.engine._update.leaf import Leaf

MAX_BYTES = 4 * 2**20
STEP_BASE = 65536
"""Steps are stored as two exact float32 columns, step // base and step % base."""


class Recorder:
    """Keeps the latest records, vectors of numbers, that training steps have written.

    The buffer is a variable of the optimizer, so writing costs no copy to the host;
    `read` copies the new records to the host. Memory is bounded: `capacity` records of
    `width` float32 numbers.

    Args:
        leaf: `Leaf` whose steps are recorded.
        width: Int > 0. Number of numbers in a record.
        every: Int > 0. Record the steps that are multiples of it.
        capacity: Int > 0 or None. Number of records kept; None chooses 16 to 1024, up
            to 4 MiB.
        num_first: Int >= 0. Number of records that are written first, one in each step,
            before `every` applies.

    Example:

    >>> import keras, numpy as np
    >>> from keras import ops
    >>> from keras_deeptools.engine import Feature, Recorder, attach
    >>> class Steps(Feature):
    ...     def prepare(self, leaf):
    ...         self.recorder = Recorder(leaf, width=1)
    ...     def observe_gradients(self, state, leaf, gradients):
    ...         self.recorder.write(lambda: ops.ones((1,)))
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", loss="mse")
    >>> feature = Steps()
    >>> with attach(model, feature):
    ...     for _ in range(3):
    ...         logs = model.train_on_batch(np.ones((4, 2)), np.ones((4, 1)))
    ...     steps, rows = feature.recorder.read()
    >>> steps.tolist(), rows.ravel().tolist()
    ([0, 1, 2], [1.0, 1.0, 1.0])
    """

    def __init__(
        self,
        leaf: Leaf,
        width: int,
        every: int = 1,
        capacity: int | None = None,
        num_first: int = 0,
    ) -> None:
        if capacity is None:
            capacity = min(max(MAX_BYTES // (4 * (width + 2)), 16), 1024)
        self.capacity = capacity
        self.every = every
        self.num_first = num_first
        self.lost = 0
        self._leaf = leaf
        self._seen = 0
        # Steps that are not recorded write to a spare place after the last record.
        self._rows = leaf.add_state("recorded_rows", (capacity + 1, width + 2))
        self._count = leaf.add_state("recorded_count", dtype="int32")

    @property
    def due(self) -> Any:
        """Whether this step is recorded: a bool, or a tensor while tracing."""
        if self.every == 1:
            return True
        rest = self._leaf.step % self.every
        due = rest == 0 if isinstance(rest, int) else ops.equal(rest, 0)
        if not self.num_first or due is True:
            return due
        count = tensors.scalar(self._count)
        if isinstance(count, int):
            return due or count < self.num_first
        return ops.logical_or(due, ops.less(count, self.num_first))

    @property
    def room(self) -> int:
        """Number of steps from now on before a record must be read."""
        spread = self.num_first <= self._seen
        return self.capacity * (self.every if spread else 1)

    @property
    def may_be_due(self) -> bool:
        """False only if the host knows that nothing will be recorded."""
        return tensors.possibly(self.due)

    def write(self, compute: Callable[[], Any], is_known: bool = False) -> None:
        """Writes the record that `compute` returns, when this step is due.

        Args:
            compute: Function without side effects that returns `width` numbers: a
                float32 vector, a list of them, or a list of floats that the host
                knows. It runs only in steps that are recorded.
            is_known: Bool, whether the record costs nothing, so that a compiled step
                need not choose whether to compute it.
        """
        if not self.may_be_due:
            return
        step = self._leaf.step
        numbers = [step // STEP_BASE, step % STEP_BASE]
        count = tensors.scalar(self._count)
        index, due = count % self.capacity, self.due
        if isinstance(due, bool):
            row = compute()
            tensors.write_row(
                self._rows, index, numbers, row if isinstance(row, list) else [row]
            )
            tensors.set_scalar(self._count, count + 1)
            return

        def row_if_due() -> Any:
            row = compute()
            whole = ops.concatenate(row) if isinstance(row, list) else row
            return ops.cast(whole, "float32")

        def zeros() -> Any:
            return ops.zeros((self._rows.shape[1] - 2,), "float32")

        row = row_if_due() if is_known else tensors.choose(due, row_if_due, zeros)
        index = ops.where(due, index, self.capacity)
        numbers = [ops.cast(number, "float32") for number in numbers]
        tensors.write_row(self._rows, index, numbers, [row])
        tensors.set_scalar(self._count, count + ops.cast(due, "int32"))

    def end(self) -> None:
        """Frees the memory, when another recorder replaces this one."""
        self._leaf.drop_state([self._rows, self._count])

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Copies the records written since the last call to the host.

        Returns:
            Tuple of `steps`, int64 array `(n,)` of update numbers counted from the
            optimizer's creation, and `rows`, float32 array `(n, width)`. Records that
            were overwritten before they were read are missing, and `lost` counts them.
        """
        count = int(self._leaf.read(self._count))
        new = count - self._seen
        kept = min(new, self.capacity)
        self.lost += new - kept
        self._seen = count
        if kept <= 0:
            return np.zeros(0, "int64"), np.zeros((0, self._rows.shape[1] - 2), "f4")
        order = np.arange(count - kept, count) % self.capacity
        table = self._leaf.read(self._rows)[order]
        steps = table[:, 0].astype("int64") * STEP_BASE + table[:, 1].astype("int64")
        return steps, table[:, 2:]
