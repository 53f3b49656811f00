"""Rows of data on their way through a chain."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_deeptools.engine import Link

CHUNK = 256
"""Rows that are computed at once."""


def passed_on(
    owner: str,
    links: list[Link],
    rows: np.ndarray,
    dtype: Any,
    weights: Sequence[np.ndarray] | None = None,
) -> np.ndarray:
    """What a stretch of a chain gives for all rows, in inference.

    Args:
        owner: Str, who is named in errors.
        links: The stretch; may be empty.
        rows: Array of its inputs.
        dtype: Str, dtype that the first link takes.
        weights: Arrays in the place of the first link's variables, or None.

    Returns:
        Float32 array on the host.

    Raises:
        ValueError: If values are not finite.
    """
    result: np.ndarray | None = None
    for start in range(0, len(rows), CHUNK):
        chunk = rows[start : start + CHUNK]
        if links:
            value = ops.convert_to_tensor(chunk, dtype)
            for number, link in enumerate(links):
                value = link(value, weights if number == 0 else None)
            chunk = ops.convert_to_numpy(ops.cast(value, "float32"))
        chunk = np.asarray(chunk, "float32")
        if not np.isfinite(chunk).all():
            what = f"what {links[-1].operation.name!r} gives" if links else "`x`"
            raise ValueError(
                f"{owner}: {what} must be finite. Received: NaN or infinity in rows "
                f"{start} to {start + len(chunk) - 1}. Mend the data or the weights."
            )
        if result is None:
            result = np.empty((len(rows), *chunk.shape[1:]), "float32")
        result[start : start + len(chunk)] = chunk
    assert result is not None
    return result
