"""To how many rows a batch is padded, as each shape is compiled once."""

from typing import Any

import keras

from keras_deeptools.engine._rows import inner_shapes


class BatchPadding:
    """Full batches for the size of rows that comes first, others as they come.

    Where rows are of several lengths or sizes, batches of one of them have the rows of
    its largest batch so far.

    Args:
        batch_size: Int >= 1.

    Example:

    >>> import numpy as np
    >>> from keras_deeptools.engine._batch_padding import BatchPadding
    >>> padding = BatchPadding(8)
    >>> shapes = [(5, 2), (3, 4), (2, 4), (1, 2)]
    >>> [padding.size(np.zeros(shape)) for shape in shapes]
    [8, 3, 3, 8]
    """

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size
        self._sizes: dict[tuple, int] = {}

    def size(self, x: Any) -> int:
        """Int, rows to pad a batch to.

        Args:
            x: Structure of arrays `(rows, ...)`.
        """
        num_rows = len(next(a for a in keras.tree.flatten(x) if a is not None))
        shape = tuple(inner_shapes(x))
        least = num_rows if self._sizes else self._batch_size
        self._sizes[shape] = max(num_rows, self._sizes.get(shape, least))
        return self._sizes[shape]
