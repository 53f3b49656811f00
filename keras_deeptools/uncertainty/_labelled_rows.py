"""Predictions and labels of any form as arrays over classes."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_deeptools._arguments import message


def ragged(parts: Iterable[np.ndarray]) -> np.ndarray:
    """Puts parts into one array if they fit, else into an object array `(samples,)`.

    Args:
        parts: Arrays `(samples, ...)`.
    """
    parts = list(parts)
    if len({part.shape[1:] for part in parts}) == 1:
        return np.concatenate(parts)
    rows = [row for part in parts for row in part]
    found = np.empty(len(rows), object)
    for i, row in enumerate(rows):
        found[i] = row
    return found


def pixel_by_pixel(
    predictions: Any, labels: Any, sample_weight: Any = None
) -> tuple[Any, Any, Any]:
    """Flattens predictions of samples of differing size, with their labels and weights.

    All other predictions are returned unchanged.

    Args:
        predictions: Object array or list of arrays `(..., classes)`.
        labels: As many arrays of labels, class indices or one-hot.
        sample_weight: As many arrays of weights, or a weight for each sample; or None.
    """
    parts = _parts_of(predictions)
    each = _parts_of(labels, len(parts))
    if len({part.shape for part in parts}) < 2 or len(each) != len(parts):
        return predictions, labels, sample_weight
    rows = [part.reshape(-1, part.shape[-1]) for part in parts]
    sizes = [len(row) for row in rows]
    flat = [
        label.reshape(-1) if label.size == size else label.reshape(size, -1)
        for label, size in zip(each, sizes, strict=True)
        if label.size % size == 0
    ]
    if len(flat) < len(rows) or len({row.shape[1] for row in rows}) > 1:
        return predictions, labels, sample_weight
    weights = sample_weight
    if weights is not None:
        own = [np.asarray(weight) for weight in weights]
        pairs = zip(own, sizes, strict=True)
        weights = np.concatenate(
            [w.reshape(-1) if w.size == n else np.full(n, w.item()) for w, n in pairs]
        )
    return np.concatenate(rows), np.concatenate(flat), weights


def _parts_of(values: Any, count: int = 0) -> list[np.ndarray]:
    """Returns arrays of one axis or more in a list or object array; else none."""
    is_held = isinstance(values, np.ndarray) and (values.dtype == object or count)
    if not is_held and not isinstance(values, list | tuple):
        return []
    parts = [np.asarray(part) for part in values if isinstance(part, np.ndarray)]
    if len(parts) != len(values) or any(part.ndim == 0 for part in parts):
        return []
    return parts


SUM_TOLERANCE = 1e-2
"""Half-precision probabilities of a sample sum to 1 within less than this."""


def are_independent(
    owner: str,
    values: np.ndarray,
    labels: np.ndarray,
    multi_label: bool | None,
    ignore_class: Any,
    are_logits: bool,
) -> bool:
    """Returns whether predictions of several outputs are for independent labels.

    They are independent if labels are 0 or 1 for each output and some sample has none
    or several of them, unless the probabilities of each sample sum to 1.

    Args:
        owner: Str. Who is named in errors.
        values: Array `(..., outputs)`, more than one.
        labels: Array of labels.
        multi_label: Bool, what the user specified; None: nothing.
        ignore_class: The label that does not count, or None.
        are_logits: Bool, whether `values` are logits.
    """
    if labels.shape != values.shape:
        if multi_label:
            raise ValueError(
                f"{owner}: `labels` must have shape {values.shape}, as the "
                "predictions do, with 0 or 1 for each output, where multi_label=True. "
                f"Received: shape {labels.shape}. Class indices are for outputs that "
                "exclude one another: leave `multi_label` out."
            )
        return False
    if multi_label is not None:
        return multi_label
    kept = (
        labels if ignore_class is None else np.where(labels == ignore_class, 0, labels)
    )
    if not np.isin(kept, (0, 1)).all() or (kept.sum(axis=-1) == 1).all():
        return False
    if are_logits:
        return True
    sums = values.astype("float64").sum(axis=-1)
    return bool((np.abs(sums - 1) > SUM_TOLERANCE).any())


def read_weights(owner: str, sample_weight: Any, num_rows: int) -> np.ndarray:
    """Returns a float64 array `(n,)` that sums to 1."""
    weights = cell_weights(owner, sample_weight, (num_rows,))
    if sample_weight is None:
        return weights
    return weights / weights.sum()


def cell_weights(owner: str, sample_weight: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Returns a float64 array of as many weights as a shape has elements.

    Args:
        owner: Str. Who is named in errors.
        sample_weight: Array of some first axes of the shape, or of all; or None.
        shape: Tuple of ints.
    """
    size = int(np.prod(shape))
    if sample_weight is None:
        return np.full(size, 1 / size)
    weights = np.asarray(sample_weight, "float64")
    leading = [shape[: i + 1] for i in range(len(shape))]
    if weights.shape not in leading and weights.shape[-1:] == (1,):
        weights = weights[..., 0]
    if weights.shape not in leading:
        raise ValueError(
            f"{owner}: `sample_weight` must have shape "
            f"{' or '.join(map(str, leading))}. Received: shape "
            f"{np.shape(sample_weight)}. Give a weight for each row."
        )
    if not (np.isfinite(weights) & (weights >= 0)).all() or weights.sum() == 0:
        raise ValueError(
            f"{owner}: `sample_weight` must be finite, >= 0 and not all 0. Received: "
            f"values from {weights.min():.3g} to {weights.max():.3g}. Give 0 to rows "
            "that should not count."
        )
    rest = [1] * (len(shape) - weights.ndim)
    return np.broadcast_to(weights.reshape(*weights.shape, *rest), shape).reshape(-1)


@dataclass(frozen=True, eq=False)
class LabelledRows:
    """Scores and the classes that came true; made by `labelled_rows`.

    There is one entry for each sample; for dense predictions one for each pixel or
    token; for independent outputs one for each output of each sample, which is a binary
    prediction of its own.

    Attributes:
        probabilities: Float64 array `(n, k)`, or logits; a binary model has k = 2 here.
        labels: Int64 array `(n,)` in [0, k).
        weights: Float64 array `(n,)`, summing to 1.
        is_binary: Bool, whether each score is a prediction of its own: the predictions
            were given as `(n,)` or `(..., 1)`, or the outputs are independent.
        shape: Tuple of ints, the axes that were flattened into entries.
        kept: Int64 array `(n,)`, the position of each entry along the flattened axes.
        outputs: Int64 array `(n,)`, the independent output of each entry; None if
            there is one output, or if classes exclude one another.
    """

    probabilities: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    is_binary: bool
    shape: tuple[int, ...]
    kept: np.ndarray
    outputs: np.ndarray | None = None


def labelled_rows(
    owner: str,
    predictions: Any,
    labels: Any,
    sample_weight: Any = None,
    multi_label: bool | None = None,
    ignore_class: int | None = None,
    argument: str = "probabilities",
) -> LabelledRows:
    """Reads what a classifier predicted and what came true; errors name `owner`.

    Args:
        owner: Str. Who is named in errors.
        predictions: Float array `(n,)`, `(..., 1)` or `(..., k)`.
        labels: Class indices, one-hot labels, or 0 and 1 for independent outputs.
        sample_weight: Array of the first axes, or of all of them; None for equal ones.
        multi_label: Bool, whether outputs are independent; None: the labels decide.
        ignore_class: Int or None, the label that does not count.
        argument: `"probabilities"` or `"logits"`; logits of "no" are zeros.
    """
    if multi_label not in (True, False, None):
        raise ValueError(
            message(owner, "multi_label", "True, False or None", multi_label)
        )
    predictions, labels, sample_weight = pixel_by_pixel(
        predictions, labels, sample_weight
    )
    values = read_predictions(owner, argument, predictions)
    given = np.asarray(labels)
    is_alone = values.ndim == 1 or values.shape[-1] == 1
    positions = values.shape if values.ndim == 1 else values.shape[:-1]
    independent = not is_alone and are_independent(
        owner, values, given, multi_label, ignore_class, argument == "logits"
    )
    is_binary = is_alone or independent
    shape = values.shape if independent else positions
    weights = cell_weights(owner, sample_weight, shape)
    num_classes = 2 if is_binary else values.shape[-1]
    flat = _flat_labels(owner, given, values, shape, num_classes)
    counts = weights > 0
    if ignore_class is not None:
        is_ignored = flat == ignore_class
        counts = counts & ~is_ignored
        if not counts.any():
            rule = "the label of some rows, not of all"
            raise ValueError(message(owner, "ignore_class", rule, ignore_class))
    kept = np.flatnonzero(counts)
    scores = values.reshape(-1) if is_binary else values.reshape(-1, num_classes)
    scores, flat, weights = scores[kept], flat[kept], weights[kept]
    if argument == "probabilities":
        scores = checked_probabilities(owner, scores, is_binary)
    else:
        scores = checked_scores(owner, argument, scores)
        if is_binary:
            scores = np.stack([np.zeros_like(scores), scores], axis=1)
    return LabelledRows(
        scores,
        _checked_labels(owner, flat, num_classes),
        weights / weights.sum(),
        is_binary,
        shape,
        kept,
        kept % shape[-1] if independent else None,
    )


def read_predictions(owner: str, argument: str, predictions: Any) -> np.ndarray:
    """Returns the array of one output, of any number of axes over one."""
    if isinstance(predictions, dict):
        raise ValueError(
            f"{owner}: `{argument}` must be the array of one output. Received: a dict "
            f"of the outputs {', '.join(map(repr, predictions))}. Judge them one by "
            f"one: `{argument}[{next(iter(predictions), 'name')!r}]`."
        )
    try:
        values = np.asarray(predictions)
    except ValueError:
        values = np.empty(())
    if values.ndim == 0 or values.size == 0 or values.dtype == object:
        found = values.shape if values.ndim else f"of {type(predictions).__name__}"
        raise ValueError(
            f"{owner}: `{argument}` must be one array of shape (n,), (n, classes) or "
            f"(n, ..., classes), with n > 0. Received: shape {found}. Give the "
            "predictions of one output; join those of differing size pixel by pixel: "
            "`numpy.concatenate([p.reshape(-1, num_classes) for p in predictions])`."
        )
    return values


def checked_probabilities(
    owner: str, values: np.ndarray, is_binary: bool
) -> np.ndarray:
    """Returns a float64 array `(n, k)` from `(n, k)`, or from binary `(n,)`."""
    values = checked_scores(owner, "probabilities", values)
    low, high = values.min(), values.max()
    if low < 0 or high > 1 + SUM_TOLERANCE:
        raise ValueError(
            f"{owner}: `probabilities` must be in [0, 1]. Received: values from "
            f"{low:.3g} to {high:.3g}. Logits need a softmax or sigmoid first."
        )
    if is_binary:
        return np.stack([1 - values, values], axis=1)
    sums = values.sum(axis=1)
    if abs(sums - 1).max() > SUM_TOLERANCE:
        raise ValueError(
            f"{owner}: `probabilities` of a row must sum to 1. Received: a row that "
            f"sums to {sums[abs(sums - 1).argmax()]:.3g}. Independent outputs "
            "(sigmoids) need multi_label=True, and labels 0 or 1 for each of them. "
            "Probabilities that were rounded must be given as they were predicted."
        )
    return values


def checked_scores(owner: str, argument: str, values: np.ndarray) -> np.ndarray:
    """Returns the scores in double precision, or raises if some are not finite."""
    values = values.astype("float64")
    is_bad = ~np.isfinite(values)
    if is_bad.any():
        num_bad = int(is_bad.reshape(len(values), -1).any(axis=1).sum())
        raise ValueError(
            f"{owner}: `{argument}` must be finite. Received: {num_bad} of "
            f"{len(values)} rows with NaN or infinity. Fix the model or leave them "
            "out."
        )
    return values


def _flat_labels(
    owner: str,
    labels: np.ndarray,
    values: np.ndarray,
    shape: tuple[int, ...],
    num_classes: int,
) -> np.ndarray:
    """Returns one label for each entry, not yet checked."""
    if labels.dtype.kind in "US":
        raise TypeError(
            f"{owner}: `labels` must be class indices or one-hot. Received: text such "
            f"as {labels.ravel()[0]!r}. Give its place among the class names, as "
            "`np.unique(labels, return_inverse=True)[1]` does."
        )
    if labels.shape in (shape, (*shape, 1)):
        return labels.reshape(-1).astype("float64")
    if labels.shape == (*shape, num_classes):
        is_one_hot = np.isin(labels, (0, 1)).all() and (labels.sum(axis=-1) == 1).all()
        if not is_one_hot:
            raise ValueError(
                f"{owner}: `labels` of shape {labels.shape} must be one-hot. Received: "
                "rows without exactly one 1. Give class indices, one for each row; "
                "outputs that are independent of one another need multi_label=True."
            )
        return labels.argmax(axis=-1).reshape(-1).astype("float64")
    choices = [shape, (*shape, 1), (*shape, num_classes)]
    if shape == values.shape and values.ndim > 1:
        choices = [shape]
    raise ValueError(
        f"{owner}: `labels` must have shape {' or '.join(map(str, choices))} for "
        f"predictions of shape {values.shape}. Received: shape {labels.shape}. Give a "
        "label for each row, pixel or token."
    )


def _checked_labels(owner: str, labels: np.ndarray, num_classes: int) -> np.ndarray:
    is_index = np.isfinite(labels) & (labels == np.floor(labels))
    is_index &= (labels >= 0) & (labels < num_classes)
    if not is_index.all():
        raise ValueError(
            f"{owner}: `labels` must be integers in [0, {num_classes}). Received: "
            f"{float(labels[~is_index][0])!r}. Number the classes from 0; "
            "`ignore_class` leaves out what has no label."
        )
    return labels.astype("int64")
