"""What linear probes read from each layer group, and how deep to unfreeze."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_deeptools._axes import new_axes


@dataclass(frozen=True, eq=False)
class DepthProbe:
    """Accuracy of linear probes by layer group; made by `probe_depth`.

    Attributes:
        groups: Tuple of str, names of the probed groups, from the inputs on.
        rest: Tuple of str, names of groups after them: the head.
        fold_accuracy: Float array `(groups, folds)`, shares of right rows.
        num_rows: Int, rows that the probes saw.
        num_classes: Int.

    Example:

    >>> import numpy as np
    >>> from keras_deeptools.transfer import DepthProbe
    >>> accuracy = np.array([[0.7, 0.8, 0.75], [0.9, 0.9, 0.85], [0.5, 0.6, 0.6]])
    >>> probe = DepthProbe(("low", "middle", "high"), ("head",), accuracy, 60, 3)
    >>> probe.first_to_retrain, probe.best
    (2, 1)
    >>> print(probe)
    Retrain from 'high' on (group 2). 60 rows, 3 classes.
    group       accuracy  standard error
    0  low         0.750           0.029  keep
    1  middle      0.883           0.017  best, keep
    2  high        0.567           0.033  retrain
    """

    groups: tuple[str, ...]
    rest: tuple[str, ...]
    fold_accuracy: np.ndarray
    num_rows: int
    num_classes: int

    @property
    def accuracy(self) -> np.ndarray:
        """Float array `(groups,)`, means over the folds."""
        return self.fold_accuracy.mean(axis=1)

    @property
    def standard_error(self) -> np.ndarray:
        """Float array `(groups,)`, of the means, as folds differ."""
        return _standard_error(self.fold_accuracy)

    @property
    def best(self) -> int:
        """Int, the group with the highest accuracy, the deepest of equals."""
        backwards = self.accuracy[::-1].round(12)
        return len(self.groups) - 1 - int(backwards.argmax())

    @property
    def first_to_retrain(self) -> int:
        """Int, the first of `groups` to retrain; `len(groups)` for the head alone."""
        below = self.fold_accuracy[self.best] - self.fold_accuracy
        as_good = below.mean(axis=1) <= _standard_error(below) + 1e-12
        return int(np.flatnonzero(as_good)[-1]) + 1

    def table(self) -> str:
        """One line for each group."""
        digits = len(str(len(self.groups) - 1))
        titles = [f"{i:>{digits}}  {name}" for i, name in enumerate(self.groups)]
        width = max(len(title) for title in ["group", *titles])
        lines = [f"{'group':<{width}}  accuracy  standard error"]
        numbers = zip(titles, self.accuracy, self.standard_error, strict=True)
        for i, (title, accuracy, error) in enumerate(numbers):
            verdict = "keep" if i < self.first_to_retrain else "retrain"
            verdict = f"best, {verdict}" if i == self.best else verdict
            lines.append(f"{title:<{width}}  {accuracy:8.3f}  {error:14.3f}  {verdict}")
        return "\n".join(lines)

    def __str__(self) -> str:
        counts = f"{self.num_rows:,} rows, {self.num_classes} classes"
        first = self.first_to_retrain
        if first == len(self.groups):
            advice = "Train the head alone: no probe reads earlier groups better"
        else:
            advice = f"Retrain from {self.groups[first]!r} on (group {first})"
        return f"{advice}. {counts}.\n{self.table()}"

    def plot(self, ax: Any = None) -> Any:
        """Draw accuracy with its standard error by group.

        Args:
            ax: Matplotlib axes to draw on. Default: those of a new figure.

        Returns:
            The matplotlib axes.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        ax = new_axes("DepthProbe.plot") if ax is None else ax
        places = np.arange(len(self.groups))
        ax.errorbar(places, self.accuracy, self.standard_error, marker="o", capsize=2)
        ax.axvspan(
            self.first_to_retrain - 0.5,
            max(len(self.groups) - 0.5, self.first_to_retrain - 0.5),
            color="0.9",
            label="retrain",
        )
        ax.axhline(1 / self.num_classes, linestyle="--", color="0.5", linewidth=1)
        ax.set_xticks(places, self.groups, rotation=30, ha="right")
        ax.set_xlim(-0.5, len(self.groups) - 0.5)
        ax.set_ylabel("accuracy of a linear probe")
        if self.first_to_retrain < len(self.groups):
            ax.legend(loc="lower left")
        return ax


def _standard_error(folds: np.ndarray) -> np.ndarray:
    return folds.std(axis=1, ddof=1) / np.sqrt(folds.shape[1])
