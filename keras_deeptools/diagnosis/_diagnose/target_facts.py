"""What the targets of one output are: classes, probabilities or quantities."""

from dataclasses import dataclass
from typing import Any

import numpy as np

MOST_CLASSES = 1000
"""Whole numbers with more different values are counts or quantities."""


@dataclass(frozen=True, eq=False)
class TargetFacts:
    """Numbers about the targets of one output.

    Attributes:
        kind: `"classes"`, whole numbers; `"binary"`, two values; `"one-hot"`;
            `"multi-hot"`, several of 0 and 1; `"quantities"`; or `"unknown"`.
        shape: Tuple of ints, without the axis of samples.
        least: Float.
        most: Float.
        mean: Float.
        std: Float.
        counts: Array of ints, samples of each class, for the kinds of classes.
        classes: Array of the values, for `"classes"` and `"binary"`.
        labels: Int array `(samples,)`, the class of each sample; None for others.
        reach: Float, the largest distance from the median over the usual one.
        is_whole: Bool, whether all are whole numbers.
    """

    kind: str
    shape: tuple[int, ...]
    least: float
    most: float
    mean: float
    std: float
    counts: np.ndarray
    classes: np.ndarray
    labels: np.ndarray | None
    reach: float
    is_whole: bool = False

    @property
    def is_classes(self) -> bool:
        """Whether each sample belongs to one class."""
        return self.kind in ("classes", "binary", "one-hot")

    @property
    def num_classes(self) -> int:
        """How many classes occur."""
        return int((self.counts > 0).sum())


def target_facts(y: Any) -> TargetFacts | None:
    """Measures targets; None for what holds no numbers.

    Args:
        y: Array `(samples, ...)`.

    Example:

    >>> import numpy as np
    >>> from keras_deeptools.diagnosis._diagnose.target_facts import target_facts
    >>> target_facts(np.array([0, 2, 1, 2])).kind, target_facts(np.eye(3)).kind
    ('classes', 'one-hot')
    """
    y = np.asarray(y)
    if y.dtype.kind not in "biuf" or not y.size:
        return None
    values = y.astype("float64")
    known = values[np.isfinite(values)]
    if not known.size:
        return None
    shape = y.shape[1:]
    flat = values.reshape(len(values), -1)
    kind, labels = _kind(flat, known, len(y))
    classes, counts = np.zeros(0), np.zeros(0, int)
    if labels is not None:
        classes, labels, counts = np.unique(
            labels, return_inverse=True, return_counts=True
        )
        if kind == "one-hot":
            counts = np.bincount(flat.argmax(axis=1), minlength=flat.shape[1])
    usual = np.median(np.abs(known - np.median(known)))
    reach = float(np.abs(known - np.median(known)).max() / usual) if usual > 0 else 0.0
    return TargetFacts(
        kind,
        shape,
        float(known.min()),
        float(known.max()),
        float(known.mean()),
        float(known.std()),
        counts,
        classes,
        labels,
        reach,
        bool((known == np.round(known)).all()),
    )


def _kind(
    flat: np.ndarray, known: np.ndarray, samples: int
) -> tuple[str, np.ndarray | None]:
    width = flat.shape[1]
    if (known != np.round(known)).any():
        return "quantities", None
    values = np.unique(known)
    flags = values.min() >= 0 and values.max() <= 1
    if width > 1 and flags and len(values) == 2:
        if (flat.sum(axis=1) == 1).all():
            return "one-hot", flat.argmax(axis=1)
        return "multi-hot", None
    if width > 1:
        return ("tokens" if values.min() >= 0 else "quantities"), None
    if len(values) == 2:
        return "binary", flat[:, 0]
    consecutive = values.max() - values.min() < 2 * len(values) + 1
    repeated = len(values) <= max(3, samples / 3)
    if len(values) <= MOST_CLASSES and consecutive and repeated and values.min() >= -1:
        return "classes", flat[:, 0]
    return "quantities", None
