"""The distance between confidence and accuracy, in bins of equal confidence."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_deeptools._arguments import (
    checked_count,
    checked_option,
    is_integer,
    message,
)
from keras_deeptools.uncertainty._labelled_rows import LabelledRows, labelled_rows

BINNINGS = ("equal_width", "adaptive")

NORMS = ("l1", "l2", "max")


@dataclass(frozen=True, eq=False)
class BinAverages:
    """The bins that hold samples, in arrays `(bins,)` as in `ReliabilityDiagram`."""

    lower: np.ndarray
    upper: np.ndarray
    weight: np.ndarray
    count: np.ndarray
    confidence: np.ndarray
    frequency: np.ndarray


@dataclass(frozen=True, eq=False)
class CalibrationBins(BinAverages):
    """Bins, and the bin of each sample."""

    index: np.ndarray

    @property
    def gap(self) -> np.ndarray:
        """Frequency minus confidence."""
        return self.frequency - self.confidence


def check_binning(owner: str, num_bins: Any, binning: Any) -> None:
    """Raises an error unless samples can be put in bins in this way."""
    checked_count(owner, "num_bins", num_bins)
    checked_option(owner, "binning", binning, BINNINGS)


def judged_event(
    owner: str, rows: LabelledRows, event: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns an event's probability, 1 if it came true, else 0, and a weight.

    There is one of each for every sample.

    Args:
        owner: Str. Who is named in errors.
        rows: `LabelledRows`.
        event: `"auto"`, `"predicted"`, or a class; for independent outputs one of them.
    """
    if event == "auto":
        event = "yes" if rows.is_binary else "predicted"
    if event == "predicted":
        predicted = rows.probabilities.argmax(axis=1)
        confidence = rows.probabilities.max(axis=1)
        return confidence, (predicted == rows.labels).astype("float64"), rows.weights
    if event == "yes":
        return rows.probabilities[:, 1], rows.labels.astype("float64"), rows.weights
    independent = rows.outputs is not None
    num_events = rows.shape[-1] if independent else rows.probabilities.shape[1]
    if not is_integer(event) or not 0 <= event < num_events:
        kind = "an output" if independent else "a class"
        rule = f"'auto', 'predicted' or {kind} in [0, {num_events})"
        raise ValueError(message(owner, "event", rule, event))
    if not independent:
        outcome = (rows.labels == event).astype("float64")
        return rows.probabilities[:, event], outcome, rows.weights
    of_output = rows.outputs == event
    if not of_output.any():
        rule = "an output with labels that count"
        raise ValueError(message(owner, "event", rule, event))
    weights = rows.weights[of_output]
    return (
        rows.probabilities[of_output, 1],
        rows.labels[of_output].astype("float64"),
        weights / weights.sum(),
    )


def calibration_bins(
    confidence: np.ndarray,
    outcome: np.ndarray,
    weights: np.ndarray,
    num_bins: int,
    binning: str,
) -> CalibrationBins:
    """Puts samples in bins (lower, upper] and averages them there."""
    edges = np.linspace(0, 1, num_bins + 1)
    if binning == "adaptive":
        edges = quantile_edges(confidence, weights, num_bins)
    index = np.searchsorted(edges[1:-1], confidence, side="left")
    sums = [
        np.bincount(index, each, minlength=num_bins)
        for each in (weights, weights * confidence, weights * outcome, weights**2)
    ]
    weight, confident, came_true, squares = sums
    held = weight > 0
    shares = weight[held]
    return CalibrationBins(
        lower=edges[:-1][held],
        upper=edges[1:][held],
        weight=shares,
        # As many samples of equal weight have the same variance of their mean.
        count=shares**2 / squares[held],
        confidence=confident[held] / shares,
        frequency=came_true[held] / shares,
        index=(np.cumsum(held) - 1)[index],
    )


def quantile_edges(
    values: np.ndarray, weights: np.ndarray, num_bins: int
) -> np.ndarray:
    """Returns edges between equal shares of the weight; ties stay together."""
    order = np.argsort(values)
    cumulative = np.cumsum(weights[order])
    targets = np.arange(1, num_bins) / num_bins * cumulative[-1]
    # A share that is met up to rounding counts as met.
    inner = values[order][np.searchsorted(cumulative, targets * (1 - 1e-12))]
    return np.concatenate([[values.min()], inner, [values.max()]])


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
    """Returns the mean distance between confidence and observed frequency.

    Samples are put in bins by their confidence; in each bin the mean confidence is
    compared with the share of samples whose prediction is right. A value of 0 means
    perfect calibration. The value depends on the bins, and the noise in them biases it
    upwards, so compare models on the same samples with the same bins;
    `binning="adaptive"` puts equally many samples in every bin.

    Args:
        probabilities: Float array `(n,)`, `(n, 1)` or `(n, ..., classes)`, as for
            `brier_score`.
        labels: Class indices, one-hot labels or 0 and 1, as for `brier_score`.
        num_bins: Int >= 1.
        binning: `"equal_width"`: bins (0, 1/num_bins], ...; `"adaptive"`: equal shares
            of the samples, with ties in the same bin.
        norm: `"l1"`: mean of the distances (ECE); `"l2"`: root of their mean square;
            `"max"`: the largest distance (MCE).
        event: The event that is judged. `"predicted"`: the predicted class is right;
            its probability is that of the predicted class. An int: this class, or this
            independent output, comes true. `"auto"`: class 1 where `probabilities` are
            `(n,)` or `(n, 1)`, every output where they are independent, and else the
            predicted class.
        sample_weight: Float array or None, as for `brier_score`.
        multi_label: Bool or None, as for `brier_score`.
        ignore_class: Int or None, a label that does not count, such as 255 or -1.

    Returns:
        Float in [0, 1].

    Raises:
        ValueError: If shapes do not match, a value is not a probability or a class, or
            an option is unknown.

    Example:

    >>> from keras_deeptools.uncertainty import expected_calibration_error
    >>> probabilities = [[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.3, 0.7]]
    >>> error = expected_calibration_error(probabilities, [0, 1, 1, 1], num_bins=10)
    >>> round(error, 3)
    0.325

    Reference:
        Guo et al., 2017, section 2. https://arxiv.org/abs/1706.04599. Adaptive bins:
        Nixon et al., 2019, section 4. https://arxiv.org/abs/1904.01685. In their paper
        ties may be split between bins, so that the value depends on the order of the
        samples.
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
    """Returns one number for the distances in all bins."""
    distance = np.abs(bins.gap)
    if norm == "max":
        return float(distance.max())
    power = 1 if norm == "l1" else 2
    return float(np.sum(bins.weight * distance**power) ** (1 / power))
