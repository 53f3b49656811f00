"""The Brier score and its decomposition."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_deeptools._text_table import NotebookText
from keras_deeptools.uncertainty._expected_calibration_error import (
    calibration_bins,
    check_binning,
)
from keras_deeptools.uncertainty._labelled_rows import LabelledRows, labelled_rows


def brier_score(
    probabilities: Any,
    labels: Any,
    *,
    sample_weight: Any = None,
    multi_label: bool | None = None,
    ignore_class: int | None = None,
) -> float:
    """Returns the mean squared distance between probabilities and labels.

    The Brier score is a proper score: it is smallest for the true probabilities, and it
    judges calibration and sharpness together.

    Args:
        probabilities: Float array `(n,)` or `(n, 1)`, probability of class 1, or
            `(n, classes)`: what `predict` returns, or the `.mean` of a Monte Carlo
            prediction. Dense predictions have further axes before the last:
            `(n, height, width, classes)`, `(n, tokens, classes)`.
        labels: Class indices `(n,)` or `(n, 1)`, or one-hot labels `(n, classes)`; for
            dense predictions masks `(n, height, width)`; for independent outputs 0 or
            1 for each, in the shape of `probabilities`.
        sample_weight: Float array `(n,)` or None, weights >= 0 of the samples; with
            further axes, weights of their pixels, tokens or labels.
        multi_label: Bool, whether the outputs are independent of one another (several
            sigmoids). None: the outputs are taken to be independent if some samples
            have several labels or none.
        ignore_class: Int or None, a label that does not count, such as 255 or -1.

    Returns:
        Float. With two classes, in either form, the squared distance for one of them,
        in [0, 1]; with more classes, the sum over them, in [0, 2]; with independent
        outputs, the mean over them, in [0, 1].

    Raises:
        ValueError: If shapes do not match, or a value is not a probability or a class.

    Example:

    >>> from keras_deeptools.uncertainty import brier_score
    >>> round(brier_score([0.1, 0.9, 0.8], [0, 1, 0]), 4)
    0.22
    >>> round(brier_score([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]], [0, 2]), 4)
    0.22

    Reference:
        Brier, 1950. Verification of forecasts expressed in terms of probability. With
        two classes the score is halved, as in scikit-learn.
    """
    rows = labelled_rows(
        "brier_score",
        probabilities,
        labels,
        sample_weight,
        multi_label,
        ignore_class,
    )
    return score_of(rows)


def judged_classes(rows: LabelledRows) -> range:
    """Returns the classes that count: one of two, which have the same distance."""
    num_classes = rows.probabilities.shape[1]
    return range(1, 2) if num_classes == 2 else range(num_classes)


def score_of(rows: LabelledRows) -> float:
    columns = list(judged_classes(rows))
    came_true = rows.labels[:, None] == columns
    squares = (rows.probabilities[:, columns] - came_true) ** 2
    return float(rows.weights @ squares.sum(axis=1))


@dataclass(frozen=True)
class BrierDecomposition(NotebookText):
    """The parts of a Brier score; made by `brier_decomposition`.

    `score == reliability - resolution + uncertainty + within_bins`, up to rounding.

    Attributes:
        score: Float, the Brier score.
        reliability: Float >= 0, how far confidence is from frequency; 0 is best.
        resolution: Float >= 0, how far the frequency in the bins is from the mean
            frequency; large is good.
        uncertainty: Float >= 0, the score of a model that always predicts the mean
            frequency.
        within_bins: Float, the part that comes from differences inside the bins; it is
            small if the bins are narrow.

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

    Uncertainty is a property of the data, resolution is what the model knows, and
    reliability is what temperature scaling can fix. Every class is judged against the
    rest, in bins of its own probability, and the parts are summed.

    Args:
        probabilities: Float array `(n,)`, `(n, 1)` or `(n, ..., classes)`, as for
            `brier_score`.
        labels: As for `brier_score`.
        num_bins: Int >= 1.
        binning: `"equal_width"` or `"adaptive"` (equal shares of the samples).
        sample_weight: Float array or None, as for `brier_score`.
        multi_label: Bool or None, as for `brier_score`.
        ignore_class: Int or None, a label that does not count, such as 255 or -1.

    Returns:
        `BrierDecomposition`.

    Raises:
        ValueError: If shapes do not match, a value is not a probability or a class, or
            an option is unknown.

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
