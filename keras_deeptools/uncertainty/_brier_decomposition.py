"""What the Brier score is made of."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_deeptools.uncertainty._brier_score import judged_classes, score_of
from keras_deeptools.uncertainty._calibration_bins import (
    calibration_bins,
    check_binning,
)
from keras_deeptools.uncertainty._labelled_rows import LabelledRows, labelled_rows


@dataclass(frozen=True)
class BrierDecomposition:
    """The parts of a Brier score; made by `brier_decomposition`.

    `score == reliability - resolution + uncertainty + within_bins`, up to rounding.

    Attributes:
        score: Float, the Brier score.
        reliability: Float >= 0, how far confidence is from frequency; 0 is best.
        resolution: Float >= 0, how far frequency in the bins is from the mean
            frequency; large is good.
        uncertainty: Float >= 0, the score of always predicting the mean frequency.
        within_bins: Float, what differs inside the bins; small with narrow bins.

    Example:

    >>> from keras_deeptools.uncertainty import brier_decomposition
    >>> parts = brier_decomposition([0.1, 0.1, 0.8, 0.8], [0, 0, 1, 0])
    >>> print(parts)
    score 0.1750 = reliability 0.0500 - resolution 0.0625 + uncertainty 0.1875
    + within bins 0.0000
    """

    score: float
    reliability: float
    resolution: float
    uncertainty: float
    within_bins: float

    def __str__(self) -> str:
        """The sum, written out."""
        return (
            f"score {self.score:.4f} = reliability {self.reliability:.4f} - "
            f"resolution {self.resolution:.4f} + uncertainty {self.uncertainty:.4f} "
            f"+ within bins {self.within_bins:.4f}"
        )


def brier_decomposition(
    probabilities: Any,
    labels: Any,
    num_bins: int = 15,
    binning: str = "equal_width",
    *,
    sample_weight: Any = None,
    multi_label: bool | None = None,
    ignore_class: int | None = None,
) -> BrierDecomposition:
    """Splits the Brier score into reliability, resolution and uncertainty.

    Uncertainty belongs to the data, resolution is what the model knows, reliability
    what temperature scaling can mend. Every class is judged against the rest, in bins
    of its own probability, and the parts are summed.

    Args:
        probabilities: Float array `(n,)`, `(n, 1)` or `(n, ..., classes)`, as for
            `brier_score`.
        labels: As for `brier_score`.
        num_bins: Int >= 1.
        binning: `"equal_width"` or `"adaptive"` (equal shares of the rows).
        sample_weight: Float array or None, as for `brier_score`.
        multi_label: Bool or None, as for `brier_score`.
        ignore_class: Int or None, a label that does not count, such as 255 or -1.

    Returns:
        `BrierDecomposition`.

    Raises:
        ValueError: If shapes do not fit, a value is no probability or no class, or an
            option is unknown.

    Example:

    >>> from keras_deeptools.uncertainty import brier_decomposition
    >>> parts = brier_decomposition([0.1, 0.1, 0.8, 0.8], [0, 0, 1, 0])
    >>> round(parts.reliability - parts.resolution + parts.uncertainty, 4)
    0.175

    Reference:
        Murphy, 1973. A new vector partition of the probability score. The part within
        bins, which makes the sum exact: Stephenson et al., 2008, section 2.
    """
    owner = "brier_decomposition"
    check_binning(owner, num_bins, binning)
    rows = labelled_rows(
        owner, probabilities, labels, sample_weight, multi_label, ignore_class
    )
    parts = np.sum(
        [_parts(rows, each, num_bins, binning) for each in judged_classes(rows)],
        axis=0,
    )
    return BrierDecomposition(score_of(rows), *map(float, parts))


def _parts(
    rows: LabelledRows, judged: int, num_bins: int, binning: str
) -> tuple[float, float, float, float]:
    probability = rows.probabilities[:, judged]
    outcome = (rows.labels == judged).astype("float64")
    bins = calibration_bins(probability, outcome, rows.weights, num_bins, binning)
    base = rows.weights @ outcome
    spread = probability - bins.confidence[bins.index]
    rest = outcome - bins.frequency[bins.index]
    return (
        bins.weight @ bins.gap**2,
        bins.weight @ (bins.frequency - base) ** 2,
        base * (1 - base),
        rows.weights @ (spread**2 - 2 * spread * rest),
    )
