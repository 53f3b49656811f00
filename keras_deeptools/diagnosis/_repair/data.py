"""Any data that `fit` takes, to train copies on and to score them by."""

import types
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_deeptools.diagnosis._diagnose.facts import TargetFacts
from keras_deeptools.engine._data.fit_batches import random_generators
from keras_deeptools.engine._keras_private.data import (
    adapter_kind,
    adapter_of,
    are_arrays,
)
from keras_deeptools.engine._state.random_state import RandomState

OWNER = "repair"
PART = 0.2
"""Of the samples that are held out where there are no validation data."""

MOST_BYTES = 2**30
"""No more is read of a dataset."""

IMBALANCED = 0.9
"""Part of the samples in one class from which on classes count the same."""


@dataclass(frozen=True, eq=False)
class RepairData:
    """Training and held-out samples.

    Attributes:
        x: Inputs, arrays or a nested structure of them.
        y: Targets, likewise, or None.
        weight: Weights of samples, or None.
        x_val: Held-out inputs.
        y_val: Held-out targets.
        batch_size: Int, of a dataset; None for arrays.
        text: Str, how a dataset was read; empty for arrays.
    """

    x: Any
    y: Any
    weight: Any
    x_val: Any
    y_val: Any
    batch_size: int | None = None
    text: str = ""

    @property
    def num_samples(self) -> int:
        """How many there are to train on."""
        return length_of(self.x)


def read(
    x: Any, y: Any, weight: Any, validation_data: Any, num_samples: int
) -> RepairData:
    """Reads data, and holds out a part where there are no validation data.

    Args:
        x: Data as `fit` takes them.
        y: Targets, where `x` is arrays.
        weight: Weights of samples, where `x` is arrays.
        validation_data: As `fit` takes them, or None.
        num_samples: Int, about how many samples of a dataset are enough.

    Raises:
        TypeError: If the data are of no kind that `fit` takes.
        ValueError: If arrays differ in their number of samples.
    """
    x, y, weight, size, text = _arrays(x, y, weight, num_samples)
    if validation_data is None:
        (x, y, weight), (x_val, y_val, _) = split((x, y, weight))
        return RepairData(x, y, weight, x_val, y_val, size, text)
    given = validation_data
    if not isinstance(given, (tuple, list)):
        given = [given]
    x_given, y_given = [*given, None][:2]
    x_val, y_val, _, _, _ = _arrays(x_given, y_given, None, num_samples)
    return RepairData(x, y, weight, x_val, y_val, size, text)


def _arrays(
    x: Any, y: Any, weight: Any, num_samples: int
) -> tuple[Any, Any, Any, int | None, str]:
    if y is not None or are_arrays(x):
        found = _as_arrays((x, y, weight))
        lengths = {len(each) for each in keras.tree.flatten(found) if each is not None}
        if len(lengths) != 1 or 0 in lengths:
            raise ValueError(
                f"{OWNER}: `x` and `y` must have the same number of samples. Received: "
                f"{', '.join(map(str, sorted(lengths)))}."
            )
        return *found, None, ""
    try:
        batches = _some_batches(x, num_samples)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{OWNER}: `x` and `y` must be data that `fit` takes. Received: "
            f"{type(x).__name__}. Give arrays, or a dataset of pairs."
        ) from error
    if not batches:
        raise ValueError(f"{OWNER}: `x` must have samples. Received: no batch.")
    parts = [keras.utils.unpack_x_y_sample_weight(batch) for batch in batches]
    whole = keras.tree.map_structure(
        lambda *v: None if v[0] is None else np.concatenate(v), *parts
    )
    text = f"{length_of(whole[0])} samples of the dataset, read once"
    return *whole, length_of(batches[0]), text


def _some_batches(x: Any, num_samples: int) -> list[Any]:
    """Batches of one shape, until there are enough."""
    if isinstance(x, types.GeneratorType):
        # Keras reads a batch ahead, which the user would miss.
        given, x = x, None
    else:
        given = None
    state = RandomState(*random_generators(x if given is None else given))
    found: list[Any] = []
    rows = size = 0
    try:
        if given is None:
            adapter = adapter_of(x, 2**31)
            if adapter_kind(adapter) == "ArrayDataAdapter":
                raise TypeError("no dataset")
            source = adapter.get_numpy_iterator()
        else:
            source = (_as_arrays(batch) for batch in given)
        for batch in source:
            shapes = [np.shape(v)[1:] for v in keras.tree.flatten(batch)]
            first = found[0] if found else batch
            if shapes != [np.shape(v)[1:] for v in keras.tree.flatten(first)]:
                break
            found.append(batch)
            rows += length_of(batch)
            size += sum(v.nbytes for v in keras.tree.flatten(batch) if v is not None)
            if rows >= num_samples or size > MOST_BYTES:
                break
    finally:
        state.restore()
    return found


def _as_arrays(values: Any) -> Any:
    def converted(value: Any) -> Any:
        if value is None or isinstance(value, np.ndarray):
            return value
        if keras.ops.is_tensor(value):
            return keras.ops.convert_to_numpy(value)
        return np.asarray(value)

    return keras.tree.map_structure(converted, values)


def length_of(values: Any) -> int:
    """How many samples there are."""
    return len(keras.tree.flatten(values)[0])


def taken(values: Any, rows: Any) -> Any:
    """Some samples of arrays."""
    return keras.tree.map_structure(
        lambda v: None if v is None else np.asarray(v)[rows], values
    )


def split(arrays: Any, part: float = PART) -> tuple[Any, Any]:
    """Training and held-out samples, chosen at random but the same each time."""
    length = length_of(arrays)
    order = np.random.default_rng(0).permutation(length)
    most = max(int(length * part), 1)
    return taken(arrays, np.sort(order[most:])), taken(arrays, np.sort(order[:most]))


def score_of(outputs: Any, y: Any, targets: TargetFacts) -> float:
    """How well outputs fit targets, whatever loss a model was trained with.

    Args:
        outputs: Array `(samples, ...)`, what the model predicts.
        y: Targets.
        targets: `TargetFacts` of the training targets.

    Returns:
        Float: the accuracy for classes, the mean over classes where nearly all samples
        belong to one; else the part of the variance that is explained; minus infinity
        for outputs that are not finite.

    Example:

    >>> import numpy as np
    >>> from keras_deeptools.diagnosis._diagnose.measure import target_facts
    >>> from keras_deeptools.diagnosis._repair.data import score_of
    >>> y = np.array([0, 1, 1, 0])
    >>> score_of(np.array([[0.2], [0.9], [0.4], [0.1]]), y, target_facts(y))
    0.75
    """
    found = np.asarray(outputs, "float64")
    wanted = np.asarray(y)
    if not np.isfinite(found).all():
        return -np.inf
    if targets.is_classes:
        labels = wanted
        if targets.kind == "one-hot":
            labels = wanted.reshape(len(wanted), -1).argmax(axis=-1)
        else:
            labels = np.searchsorted(targets.classes, wanted.reshape(len(wanted), -1))
            labels = labels[:, 0]
        right = _classes(found, targets) == labels
        if targets.counts.max() > IMBALANCED * targets.counts.sum():
            return float(
                np.mean([right[labels == c].mean() for c in np.unique(labels)])
            )
        return float(right.mean())
    if targets.kind == "tokens" and found.ndim > wanted.ndim:
        return float((found.argmax(axis=-1) == wanted).mean())
    wanted = wanted.astype("float64").reshape(len(wanted), -1)
    flat = found.reshape(len(found), -1)
    if flat.shape != wanted.shape:
        return -np.inf
    if targets.kind == "multi-hot":
        limit = 0 if flat.min() < 0 else 0.5
        return float(((flat > limit) == (wanted > 0.5)).mean())
    error = np.nanmean(np.square(flat - wanted))
    total = np.nanmean(np.square(wanted - np.nanmean(wanted, axis=0)))
    return float(1 - error / total) if total > 0 else float(-error)


def score_of_all(outputs: Any, y: Any, targets: list[TargetFacts | None]) -> float:
    """The mean score of outputs whose targets are known; NaN where none are.

    Args:
        outputs: Array, or a nested structure of one for each output.
        y: Targets, likewise.
        targets: List of `TargetFacts` or None, in the order of the outputs.
    """
    found, wanted = keras.tree.flatten(outputs), keras.tree.flatten(y)
    if not len(found) == len(wanted) == len(targets):
        return np.nan
    scores = [
        score_of(out, each, known)
        for out, each, known in zip(found, wanted, targets, strict=True)
        if known is not None
    ]
    return float(np.mean(scores)) if scores else np.nan


def _classes(found: np.ndarray, targets: TargetFacts) -> np.ndarray:
    """The position of the class that an output means."""
    flat = found.reshape(len(found), -1)
    if flat.shape[1] > 1:
        labels = flat.argmax(axis=1)
        first = targets.classes[0] if len(targets.classes) else 0
        # Outputs for labels that do not begin at 0 may or may not count from there.
        if targets.kind != "one-hot" and flat.shape[1] > targets.num_classes:
            labels = labels - int(first)
        return labels
    if targets.num_classes == 2:
        negative = flat.min() < 0
        return (flat[:, 0] > (0 if negative else 0.5)).astype(int)
    return np.searchsorted(targets.classes, np.round(flat[:, 0]))
