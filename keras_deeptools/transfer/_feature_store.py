"""Where features are put while they are computed: memory, with a bound."""

from typing import Any

import numpy as np

Specs = dict[str, tuple[tuple[int, ...], str]]
"""Name of a feature -> shape and dtype of one row, as it leaves the layers."""


def bytes_per_row(specs: Specs) -> int:
    """Bytes that the features of one row take where they are kept."""
    return sum(
        int(np.prod(shape)) * stored_dtype(dtype).itemsize
        for shape, dtype in specs.values()
    )


def stored_dtype(dtype: str) -> np.dtype:
    """The dtype in which features are kept: float32 for what numpy does not know.

    Args:
        dtype: Str, a Keras dtype, such as `"bfloat16"`.
    """
    is_known = dtype != "bfloat16" and not dtype.startswith("float8")
    return np.dtype(dtype if is_known else "float32")


class MemoryStore:
    """Rows of features in memory.

    Where the number of rows is known, they are put into arrays of that length at once;
    else they are collected, and take up to twice as much for the moment of joining.

    Args:
        specs: What the features are.
        num_rows: Int, rows of all views together, or None.
        max_bytes: Int, most bytes to take.
        owner: Str. Who is named in errors.

    Raises:
        ValueError: If the features take more than `max_bytes`.
    """

    def __init__(
        self, specs: Specs, num_rows: int | None, max_bytes: int, owner: str
    ) -> None:
        self._row_bytes = bytes_per_row(specs)
        self._max_bytes = max_bytes
        self._owner = owner
        self._num_rows = 0
        self._bytes = 0
        self._is_known = num_rows is not None
        self._arrays: dict[str, Any] = {name: [] for name in specs}
        self._check(num_rows or 0)
        if num_rows is not None:
            self._arrays = {
                name: np.empty((num_rows, *shape), stored_dtype(dtype))
                for name, (shape, dtype) in specs.items()
            }

    def append(self, features: dict[str, np.ndarray]) -> None:
        """Adds the rows of a batch."""
        count = len(next(iter(features.values())))
        if self._is_known:
            self._check(self._num_rows + count)
        else:
            self._bytes += sum(value.nbytes for value in features.values())
            self._check(self._num_rows + count, self._bytes)
        for name, value in features.items():
            if self._is_known:
                self._arrays[name][self._num_rows : self._num_rows + count] = value
            else:
                self._arrays[name].append(value)
        self._num_rows += count

    def finish(self, even: bool = True) -> dict[str, Any]:
        """The arrays; lists of those of each batch, where rows have several sizes."""
        if not self._is_known and even:
            for name, parts in self._arrays.items():
                self._arrays[name] = np.concatenate(parts)
                parts.clear()
        return self._arrays

    def _check(self, num_rows: int, num_bytes: int = 0) -> None:
        needed = num_bytes or num_rows * self._row_bytes
        if needed > self._max_bytes:
            raise ValueError(
                f"{self._owner}: the features must fit into `max_bytes`="
                f"{self._max_bytes:,} of memory. Received: {num_rows:,} rows of "
                f"{needed // num_rows:,} bytes, {needed:,} bytes or more. Give "
                f"`directory` to keep them on disk, or max_bytes={needed}."
            )
