"""A record of any length in bounded memory."""

import numpy as np


class DecimatedRows:
    """A table with step numbers: it keeps the latest steps in full and fewer old ones.

    When the older half of the table is full, every second line of it is dropped, and
    from then on only every second one is added to it. So a run of any length is covered
    evenly, in memory that does not grow.

    Args:
        width: Int >= 0. Numbers per step.
        max_rows: Int >= 2. Steps kept at most. The latest half of them is complete.

    Example:

    >>> import numpy as np
    >>> from keras_deeptools.statistics import DecimatedRows
    >>> record = DecimatedRows(width=1, max_rows=8)
    >>> for step in range(16):
    ...     record.append(np.array([step]), np.array([[step / 2]]))
    >>> record.steps.tolist()
    [0, 4, 8, 12, 13, 14, 15]
    >>> record.rows.ravel().tolist()
    [0.0, 2.0, 4.0, 6.0, 6.5, 7.0, 7.5]
    """

    def __init__(self, width: int, max_rows: int) -> None:
        if max_rows < 2:
            raise ValueError(
                "DecimatedRows: `max_rows` must be at least 2. "
                f"Received: max_rows={max_rows!r}."
            )
        self.width = width
        self.max_rows = max_rows
        self.stride = 1
        self._num_appended = 0
        self._older = _Table(width)
        self._latest = _Table(width)

    def append(self, steps: np.ndarray, rows: np.ndarray) -> None:
        """Adds steps at the end.

        Args:
            steps: Int array `(n,)`, increasing.
            rows: Array `(n, width)`, the numbers of these steps.
        """
        ordinals = np.arange(self._num_appended, self._num_appended + len(steps))
        self._num_appended += len(steps)
        self._latest.extend(ordinals, steps, rows)
        if self._num_appended <= self.max_rows:
            return
        full = self.max_rows // 2
        leaving = self._latest.split(self._latest.length - full)
        self._older.extend(*_every(self.stride, *leaving))
        while self._older.length > self.max_rows - full:
            self.stride *= 2
            self._older.replace(*_every(self.stride, *self._older.arrays))

    def widened(self, width: int, places: list[int]) -> "DecimatedRows":
        """Returns the same record with more numbers per step, NaN if there were none.

        Args:
            width: Int. Numbers per step from now on.
            places: List of ints. The new position of each of the present numbers.
        """
        new = DecimatedRows(width, self.max_rows)
        new.stride, new._num_appended = self.stride, self._num_appended
        new._older = self._older.widened(width, places)
        new._latest = self._latest.widened(width, places)
        return new

    @property
    def steps(self) -> np.ndarray:
        """Int64 array `(n,)`: the steps that are kept."""
        return np.concatenate([self._older.arrays[1], self._latest.arrays[1]])

    @property
    def rows(self) -> np.ndarray:
        """Float32 array `(n, width)`: the numbers of the steps that are kept."""
        return np.concatenate([self._older.arrays[2], self._latest.arrays[2]])


class _Table:
    """Ordinals, steps and their numbers, gathered in pieces and joined when read."""

    def __init__(self, width: int) -> None:
        empty = np.zeros(0, "int64")
        self._pieces = [(empty, empty, np.zeros((0, width), "float32"))]

    @property
    def length(self) -> int:
        return sum(len(ordinals) for ordinals, _, _ in self._pieces)

    @property
    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if len(self._pieces) > 1:
            ordinals, steps, rows = zip(*self._pieces, strict=True)
            self.replace(
                np.concatenate(ordinals), np.concatenate(steps), np.concatenate(rows)
            )
        return self._pieces[0]

    def extend(self, ordinals: np.ndarray, steps: np.ndarray, rows: np.ndarray) -> None:
        self._pieces.append(
            (ordinals, steps.astype("int64"), np.array(rows, "float32", ndmin=2))
        )

    def replace(
        self, ordinals: np.ndarray, steps: np.ndarray, rows: np.ndarray
    ) -> None:
        self._pieces = [(ordinals, steps, rows)]

    def widened(self, width: int, places: list[int]) -> "_Table":
        ordinals, steps, rows = self.arrays
        wide = np.full((len(rows), width), np.nan, "float32")
        wide[:, places] = rows
        new = _Table(width)
        new.replace(ordinals, steps, wide)
        return new

    def split(self, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Takes out and returns the first `count` steps."""
        ordinals, steps, rows = self.arrays
        self.replace(ordinals[count:], steps[count:], rows[count:].copy())
        return ordinals[:count], steps[:count], rows[:count]


def _every(
    stride: int, ordinals: np.ndarray, steps: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    kept = ordinals % stride == 0
    return ordinals[kept], steps[kept], rows[kept]
