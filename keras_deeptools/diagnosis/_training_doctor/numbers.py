"""What numbers a tensor holds, as far as operations with limits care."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._backends.common import on_host


@dataclass(frozen=True)
class Numbers:
    """Numbers about one tensor.

    Attributes:
        name: Str, what it is called.
        least: Float, of the finite elements.
        most: Float, of the finite elements.
        zeros: Int.
        size: Int.
        dtype: Str.
    """

    name: str
    least: float
    most: float
    zeros: int
    size: int
    dtype: str

    @property
    def largest(self) -> float:
        """The largest magnitude."""
        return max(abs(self.least), abs(self.most))

    def __str__(self) -> str:
        """A phrase, such as `"x, from 0 to 1.2 with 3 zeros"`."""
        if self.size == 1:
            return f"`{self.name}`, {self.most:.3g}"
        zeros = f" with {self.zeros} zeros" if self.zeros else ""
        return f"`{self.name}`, from {self.least:.3g} to {self.most:.3g}{zeros}"


def numbers_of(name: str, value: Any) -> Numbers | None:
    """Numbers about a tensor, array or number; None for anything else."""
    if keras.ops.is_tensor(value):
        try:
            dtype = keras.backend.standardize_dtype(value.dtype)
            value = on_host(value)
        except Exception:
            # A tensor that is being traced has no numbers.
            return None
    elif isinstance(value, (bool, str)) or value is None:
        return None
    elif isinstance(value, (int, float, np.ndarray, np.generic)):
        dtype = str(getattr(value, "dtype", type(value).__name__))
    else:
        return None
    array = np.asarray(value)
    if array.dtype.kind not in "biuf" or not array.size:
        return None
    array = array.astype("float64")
    known = array[np.isfinite(array)]
    if not known.size:
        return None
    zeros = int((array == 0).sum())
    return Numbers(
        name, float(known.min()), float(known.max()), zeros, array.size, dtype
    )


def is_bad(value: Any) -> bool:
    """Whether a tensor, or one of a list or dict of them, is not finite throughout."""
    if isinstance(value, (list, tuple)):
        return any(is_bad(each) for each in value)
    if isinstance(value, dict):
        return any(is_bad(each) for each in value.values())
    if isinstance(value, float):
        return not np.isfinite(value)
    if isinstance(value, np.ndarray):
        return value.dtype.kind == "f" and not np.isfinite(value).all()
    if not keras.ops.is_tensor(value):
        return False
    try:
        if "float" not in keras.backend.standardize_dtype(value.dtype):
            return False
        return not bool(on_host(keras.ops.all(keras.ops.isfinite(value))))
    except Exception:
        # A tensor that is being traced has no numbers.
        return False


def bad_rows(value: Any) -> tuple[int, ...]:
    """Positions along the first axis at which a tensor is not finite."""
    array = np.asarray(on_host(value)).astype("float64")
    if array.ndim == 0:
        return ()
    hit = ~np.isfinite(array.reshape(len(array), -1)).all(axis=1)
    return tuple(int(each) for each in np.flatnonzero(hit))
