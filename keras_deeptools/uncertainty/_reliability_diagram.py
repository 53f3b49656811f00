"""Observed frequency against confidence, in bins."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_deeptools._axes import new_axes
from keras_deeptools._text_table import NotebookText, text_table
from keras_deeptools.uncertainty._expected_calibration_error import (
    BinAverages,
    calibration_bins,
    calibration_error,
    check_binning,
    judged_event,
)
from keras_deeptools.uncertainty._labelled_rows import labelled_rows

NORMAL_QUANTILE = 1.959964
"""Quantile of the normal distribution for a two-sided 95% interval."""


@dataclass(frozen=True, eq=False)
class ReliabilityDiagram(BinAverages, NotebookText):
    """Confidence and frequency in bins; made by `reliability_diagram`.

    Attributes:
        lower: Float64 array `(bins,)`, left edges (exclusive); empty bins are left out.
        upper: Float64 array `(bins,)`, right edges (inclusive).
        weight: Float64 array `(bins,)`, share of the samples; sums to 1.
        count: Float64 array `(bins,)`, number of samples; with sample weights the
            number of equally weighted samples that would give the same precision.
        confidence: Float64 array `(bins,)`, mean probability of the event.
        frequency: Float64 array `(bins,)`, how often the event came true.
        interval: Float64 array `(bins, 2)`, 95% Wilson interval of `frequency`.
        expected_calibration_error: Float, weighted mean of the distances between
            confidence and frequency.
        maximum_calibration_error: Float, the largest distance.

    Example:

    >>> from keras_deeptools.uncertainty import reliability_diagram
    >>> diagram = reliability_diagram([0.2, 0.2, 0.9, 0.9], [0, 1, 1, 1], num_bins=5)
    >>> diagram.frequency.tolist()
    [0.5, 1.0]
    """

    interval: np.ndarray
    expected_calibration_error: float
    maximum_calibration_error: float

    def __str__(self) -> str:
        """The table."""
        return self.table()

    def table(self) -> str:
        """Returns one line for each bin, then the summary."""
        rows = []
        for i in range(len(self.weight)):
            low, high = self.interval[i]
            rows.append(
                [
                    f"({self.lower[i]:.3f}, {self.upper[i]:.3f}]",
                    f"{self.count[i]:.0f}",
                    f"{self.confidence[i]:.4f}",
                    f"{self.frequency[i]:.4f}",
                    f"{low:.3f} to {high:.3f}",
                ]
            )
        titles = ["bin", "rows", "confidence", "frequency", "95%"]
        errors = (
            f"expected calibration error {self.expected_calibration_error:.4f}, "
            f"largest {self.maximum_calibration_error:.4f}"
        )
        return f"{text_table(titles, rows)}\n{errors}"

    def plot(self, ax: Any = None) -> Any:
        """Draws frequency with its 95% interval against confidence.

        It draws on the matplotlib axes `ax`, or on those of a new figure, and returns
        the axes.
        """
        ax = new_axes("ReliabilityDiagram.plot") if ax is None else ax
        ax.bar(
            self.lower,
            self.weight,
            self.upper - self.lower,
            align="edge",
            color="0.85",
            label="share of the rows",
        )
        ax.plot([0, 1], [0, 1], "--", color="0.5", linewidth=1)
        low, high = self.interval.T
        # A Wilson interval contains its frequency, except for rounding.
        errors = np.maximum([self.frequency - low, high - self.frequency], 0)
        ax.errorbar(
            self.confidence, self.frequency, errors, marker="o", capsize=2, label="bins"
        )
        ax.set_title(
            f"expected calibration error {self.expected_calibration_error:.3f}"
        )
        ax.set_xlabel("confidence")
        ax.set_ylabel("observed frequency")
        ax.set_xlim(0, 1)
        ax.set_ylim(0, 1)
        ax.legend(loc="upper left")
        return ax


def reliability_diagram(
    probabilities: Any,
    labels: Any,
    num_bins: int = 15,
    binning: str = "equal_width",
    *,
    event: str | int = "auto",
    sample_weight: Any = None,
    multi_label: bool | None = None,
    ignore_class: int | None = None,
) -> ReliabilityDiagram:
    """Compares confidence with observed frequency in bins.

    Below the diagonal a model is overconfident, above it underconfident. The arguments
    are those of `expected_calibration_error`.

    Args:
        probabilities: Float array `(n,)`, `(n, 1)` or `(n, ..., classes)`, as for
            `brier_score`.
        labels: Class indices, one-hot labels or 0 and 1, as for `brier_score`.
        num_bins: Int >= 1.
        binning: `"equal_width"` or `"adaptive"` (equal shares of the samples).
        event: `"predicted"` (the predicted class is right), an int (this class, or
            independent output, comes true), or `"auto"`: class 1 where
            `probabilities` are `(n,)` or `(n, 1)`, every output where they are
            independent, else the predicted class.
        sample_weight: Float array or None, as for `brier_score`.
        multi_label: Bool or None, as for `brier_score`.
        ignore_class: Int or None, a label that does not count, such as 255 or -1.

    Returns:
        `ReliabilityDiagram`, with `.table()` and `.plot()`.

    Raises:
        ValueError: If shapes do not match, a value is not a probability or a class, or
            an option is unknown.

    Example:

    >>> from keras_deeptools.uncertainty import reliability_diagram
    >>> print(reliability_diagram([0.2, 0.2, 0.9, 0.9], [0, 1, 1, 1], num_bins=5))
                 bin     rows  confidence  frequency             95%
      (0.000, 0.200]        2      0.2000     0.5000  0.095 to 0.905
      (0.800, 1.000]        2      0.9000     1.0000  0.342 to 1.000
    expected calibration error 0.2000, largest 0.3000

    Reference:
        Niculescu-Mizil & Caruana, 2005, section 4; Guo et al., 2017, section 2.
        https://arxiv.org/abs/1706.04599
    """
    owner = "reliability_diagram"
    check_binning(owner, num_bins, binning)
    rows = labelled_rows(
        owner, probabilities, labels, sample_weight, multi_label, ignore_class
    )
    bins = calibration_bins(*judged_event(owner, rows, event), num_bins, binning)
    return ReliabilityDiagram(
        bins.lower,
        bins.upper,
        bins.weight,
        bins.count,
        bins.confidence,
        bins.frequency,
        wilson_interval(bins.frequency, bins.count),
        calibration_error(bins, "l1"),
        calibration_error(bins, "max"),
    )


def wilson_interval(frequency: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Returns the 95% interval `(bins, 2)` of a frequency out of `count` trials."""
    z = NORMAL_QUANTILE
    middle = (frequency + z**2 / (2 * count)) / (1 + z**2 / count)
    spread = frequency * (1 - frequency) / count + (z / (2 * count)) ** 2
    half = z * np.sqrt(spread) / (1 + z**2 / count)
    return np.clip(np.stack([middle - half, middle + half], axis=1), 0, 1)
