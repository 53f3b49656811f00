"""Targets that a loss would take for something else, told before training."""

from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import message
from keras_deeptools.transfer._fine_tune.chosen_loss import (
    BINARY,
    CATEGORICAL,
    SPARSE,
    are_one_hot,
    ignored_class,
    kind_of,
)

INDICES = "`np.unique(y, return_inverse=True)[1]`"


def check_is_no_list(owner: str, argument: str, value: Any) -> None:
    """Raises if data are numbers or strings in a list, which Keras does not take.

    Args:
        owner: Str. Who is named in errors.
        argument: Str.
        value: Inputs or targets, as a user gives them.

    Raises:
        TypeError: With what to give.
    """
    first = value
    while isinstance(first, list | tuple) and len(first):
        first = first[0]
    plain = str | bytes | bool | int | float | np.generic
    if first is not value and isinstance(first, plain):
        rule = "an array, or several of them"
        kind = f"a {type(value).__name__} of values such as {first!r}"
        remedy = f"Give `np.array({argument})`."
        if argument != "x" and isinstance(first, str | bytes):
            remedy = f"Number the classes: {INDICES}."
        raise TypeError(message(owner, argument, rule, kind, remedy))


def check_label_types(owner: str, y: Any, argument: str = "y") -> None:
    """Raises if targets are names of classes, or numbers in a list.

    Args:
        owner: Str. Who is named in errors.
        y: Targets, as a user gives them.
        argument: Str.

    Raises:
        TypeError: With what to give.
    """
    check_is_no_list(owner, argument, y)
    for leaf in keras.tree.flatten(y):
        values = leaf.to_numpy() if hasattr(leaf, "to_numpy") else leaf
        dtype = getattr(values, "dtype", None)
        first = None
        if getattr(dtype, "kind", "") in ("U", "S", "O") and values.size:
            first = np.ravel(values)[0]
        if isinstance(first, str | bytes) or "string" in str(dtype):
            rule = "numbers: class indices from 0 on, or one-hot rows"
            found = "names of classes" + (f", such as {first!s}" if first else "")
            remedy = f"Number the classes: {INDICES}."
            raise TypeError(message(owner, argument, rule, found, remedy))


def check_labels(
    owner: str, loss: Any, outputs: Any, y: Any, argument: str = "y"
) -> None:
    """Raises if labels are outside of the classes, which a backend may train on.

    Args:
        owner: Str. Who is named in errors.
        loss: As in `compile`.
        outputs: `keras.KerasTensor` of the model's only output, or None.
        y: Array of targets, or of a batch.
        argument: Str.

    Raises:
        ValueError: With what to do.
    """
    kind = kind_of(loss)
    count = None if outputs is None else outputs.shape[-1]
    values = np.asarray(y)
    if kind is None or not values.size or values.dtype.kind not in "iuf":
        return
    if outputs is not None:
        _check_shape(owner, kind, outputs, values, argument)
    if kind == CATEGORICAL:
        return
    if kind == BINARY:
        low, high = values.min(), values.max()
        if not (low >= 0 and high <= 1):
            remedy = "Give 1 for yes and 0 for no"
            remedy += ": `(y + 1) / 2`." if low == -1 and high == 1 else "."
            rule = "in [0, 1] for a binary cross-entropy"
            found = f"values from {low} to {high}"
            raise ValueError(message(owner, argument, rule, found, remedy))
        return
    ignored = ignored_class(loss)
    kept = values if ignored is None else values[values != ignored]
    if count is None or not kept.size:
        return
    low, high = kept.min(), kept.max()
    if low >= 0 and high < count:
        return
    outside = np.unique(kept[(kept < 0) | ~(kept < count)])
    if low == 1 and high == count:
        remedy = "Classes are counted from 0: subtract 1."
    elif len(outside) == 1 and values.ndim > 1 and np.isfinite(outside[0]):
        remedy = (
            f"To leave out the places with {outside[0]:g}, give "
            "loss=keras.losses.SparseCategoricalCrossentropy("
            f"ignore_class={int(outside[0])})."
        )
    else:
        remedy = f"Give the last layer more units, or number the classes: {INDICES}."
    rule = f"classes from 0 to {count - 1}, as the model has {count} outputs"
    found = f"labels from {low:g} to {high:g}"
    raise ValueError(message(owner, argument, rule, found, remedy))


def _check_shape(
    owner: str, kind: str, outputs: Any, values: np.ndarray, argument: str
) -> None:
    """Raises for one-hot rows where a loss takes classes, and the other way round."""
    count, rank = outputs.shape[-1], len(outputs.shape)
    if count in (None, 1):
        return
    shape = values.shape[:-1] if values.shape[-1:] == (1,) else values.shape
    one_each = len(shape) == rank - 1
    given = f"shape {values.shape}"
    if kind == SPARSE and values.ndim == rank and values.shape[-1] == count:
        rule = "one class for each row or place, for a sparse categorical cross-entropy"
        remedy = (
            "Give loss='categorical_crossentropy' for one-hot rows, or "
            f"`{argument}.argmax(-1)`."
        )
    elif kind == CATEGORICAL and one_each:
        rule = f"one-hot rows of {count} classes for a categorical cross-entropy"
        remedy = (
            "Give loss='sparse_categorical_crossentropy' for class indices, or "
            f"`keras.utils.to_categorical({argument}, {count})`."
        )
    elif kind == BINARY and one_each:
        rule = f"0 or 1 for each of the {count} outputs, for a binary cross-entropy"
        remedy = (
            "For classes that exclude one another end the model in softmax; one yes "
            "or no needs one output."
        )
    else:
        return
    raise ValueError(message(owner, argument, rule, given, remedy))


def check_class_weight(owner: str, loss: Any, class_weight: Any, y: Any) -> None:
    """Raises if Keras would weight rows by something else than their class.

    It takes the largest entry of a row for its class.

    Args:
        owner: Str. Who is named in errors.
        loss: As in `compile`.
        class_weight: As in `fit`.
        y: Array of targets, or of a batch.

    Raises:
        ValueError: Where a row of targets has several labels.
    """
    values = np.asarray(y)
    shape = values.shape
    if class_weight is None or values.ndim < 2 or shape[1:] == (1,):
        return
    kind = kind_of(loss)
    exclusive = kind != BINARY and values.ndim == 2 and are_one_hot(values)
    if exclusive and kind != SPARSE:
        return
    places = values.ndim > 2 or kind == SPARSE
    several = "a label in each place" if places else "several labels"
    raise ValueError(
        f"{owner}: `class_weight` must be None where a sample of `y` has {several}, "
        "because Keras takes the position of the largest number for the class of the "
        f"sample. Received: class_weight={class_weight!r} and `y` of shape {shape}. "
        "Give `sample_weight`, an array with a weight for each sample"
        + (", or for each place." if places else ".")
    )
