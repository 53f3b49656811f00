"""How far confidence is from how often it is right."""

from typing import Any

import numpy as np

from keras_deeptools._arguments import checked_option
from keras_deeptools.uncertainty._calibration_bins import (
    CalibrationBins,
    calibration_bins,
    check_binning,
    judged_event,
)
from keras_deeptools.uncertainty._labelled_rows import labelled_rows

NORMS = ("l1", "l2", "max")


def expected_calibration_error(
    probabilities: Any,
    labels: Any,
    num_bins: int = 15,
    binning: str = "equal_width",
    norm: str = "l1",
    *,
    event: str | int = "auto",
    sample_weight: Any = None,
    multi_label: bool | None = None,
    ignore_class: int | None = None,
) -> float:
    """The mean distance between confidence and observed frequency.

    Rows are put in bins by confidence; in each bin the mean confidence is compared with
    how often the rows are right. 0 is perfectly calibrated. The value depends on the
    bins and is biased upwards by the noise in them, so compare models on the same rows
    with the same bins; `binning="adaptive"` has equally many rows in every bin.

    Args:
        probabilities: Float array `(n,)`, `(n, 1)` or `(n, ..., classes)`, as for
            `brier_score`.
        labels: Class indices, one-hot rows or 0 and 1, as for `brier_score`.
        num_bins: Int >= 1.
        binning: `"equal_width"`: bins (0, 1/num_bins], ...; `"adaptive"`: equal shares
            of the rows, ties together.
        norm: `"l1"`: mean of the distances (ECE); `"l2"`: root of their mean square;
            `"max"`: the largest (MCE).
        event: What is judged. `"predicted"`: that the predicted class is right, by its
            probability; an int: that this class comes true, or this independent
            output. `"auto"`: the predicted class, but class 1 where `probabilities`
            are `(n,)` or `(n, 1)`, and every output where they are independent.
        sample_weight: Float array or None, as for `brier_score`.
        multi_label: Bool or None, as for `brier_score`.
        ignore_class: Int or None, a label that does not count, such as 255 or -1.

    Returns:
        Float in [0, 1].

    Raises:
        ValueError: If shapes do not fit, a value is no probability or no class, or an
            option is unknown.

    Example:

    >>> from keras_deeptools.uncertainty import expected_calibration_error
    >>> probabilities = [[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.3, 0.7]]
    >>> error = expected_calibration_error(probabilities, [0, 1, 1, 1], num_bins=10)
    >>> round(error, 3)
    0.325

    Reference:
        Guo et al., 2017, section 2. https://arxiv.org/abs/1706.04599. Adaptive bins:
        Nixon et al., 2019, section 4. https://arxiv.org/abs/1904.01685. There ties may
        be split between bins, so that the value depends on the order of the rows.
    """
    owner = "expected_calibration_error"
    check_binning(owner, num_bins, binning)
    checked_option(owner, "norm", norm, NORMS)
    rows = labelled_rows(
        owner, probabilities, labels, sample_weight, multi_label, ignore_class
    )
    bins = calibration_bins(*judged_event(owner, rows, event), num_bins, binning)
    return calibration_error(bins, norm)


def calibration_error(bins: CalibrationBins, norm: str) -> float:
    """One number for the distances in all bins."""
    distance = np.abs(bins.gap)
    if norm == "max":
        return float(distance.max())
    power = 1 if norm == "l1" else 2
    return float(np.sum(bins.weight * distance**power) ** (1 / power))
