"""What the inputs are: their scales, and features that say nothing."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np


@dataclass(frozen=True, eq=False)
class InputFacts:
    """Numbers about one input of a model.

    Attributes:
        name: Str, empty for the only one.
        rank: Int, axes without the one of samples.
        is_integer: Bool, whether all values are whole numbers.
        least: Float.
        most: Float.
        mean: Float.
        std: Float.
        feature_means: Float array, by feature of the last axis.
        feature_stds: Float array, likewise.
        duplicates: Float in [0, 1], samples that occurred before.
    """

    name: str
    rank: int
    is_integer: bool
    least: float
    most: float
    mean: float
    std: float
    feature_means: np.ndarray
    feature_stds: np.ndarray
    duplicates: float


def input_facts(x: Any) -> list[InputFacts]:
    """Measures each of the inputs that holds numbers.

    Args:
        x: Array or nested structure of arrays `(samples, ...)`.

    Example:

    >>> import numpy as np
    >>> from keras_deeptools.diagnosis._diagnose.input_facts import input_facts
    >>> [facts] = input_facts(np.array([[1.0, 0.5], [3.0, 0.5]]))
    >>> facts.feature_stds.tolist()
    [1.0, 0.0]
    """
    found = []
    for path, each in keras.tree.flatten_with_path(x):
        array = np.asarray(each) if each is not None else np.zeros(0)
        if array.dtype.kind in "biuf" and array.size:
            found.append(_of_array("/".join(map(str, path)), array))
    return found


def _of_array(name: str, array: np.ndarray) -> InputFacts:
    values = array.astype("float64")
    values = np.where(np.isfinite(values), values, 0.0)
    features = values.reshape(-1, values.shape[-1] if values.ndim > 1 else 1)
    flat = np.ascontiguousarray(array.reshape(len(array), -1))
    different = len({row.tobytes() for row in flat})
    return InputFacts(
        name,
        array.ndim - 1,
        bool((values == np.round(values)).all()),
        float(values.min()),
        float(values.max()),
        float(values.mean()),
        float(values.std()),
        features.mean(axis=0),
        features.std(axis=0),
        1 - different / len(array),
    )
