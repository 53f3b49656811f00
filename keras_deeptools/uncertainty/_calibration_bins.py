"""Rows in bins of equal confidence, and how often what they say comes true."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_deeptools._arguments import (
    checked_count,
    checked_option,
    is_integer,
    message,
)
from keras_deeptools.uncertainty._labelled_rows import LabelledRows

BINNINGS = ("equal_width", "adaptive")


@dataclass(frozen=True, eq=False)
class BinAverages:
    """The bins that hold rows; arrays `(bins,)`, as `ReliabilityDiagram` has them."""

    lower: np.ndarray
    upper: np.ndarray
    weight: np.ndarray
    count: np.ndarray
    confidence: np.ndarray
    frequency: np.ndarray


@dataclass(frozen=True, eq=False)
class CalibrationBins(BinAverages):
    """Bins, and in which of them each row is."""

    index: np.ndarray

    @property
    def gap(self) -> np.ndarray:
        """Frequency less confidence."""
        return self.frequency - self.confidence


def check_binning(owner: str, num_bins: Any, binning: Any) -> None:
    """Raise unless rows can be put in bins this way."""
    checked_count(owner, "num_bins", num_bins)
    checked_option(owner, "binning", binning, BINNINGS)


def judged_event(
    owner: str, rows: LabelledRows, event: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each row an event's probability, 1 where it came true, else 0, and a weight.

    Args:
        owner: Str. Who is named in errors.
        rows: `LabelledRows`.
        event: `"auto"`, `"predicted"`, or a class; of independent outputs one of them.
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
    """Put rows in bins (lower, upper] and average them there."""
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
        # As many rows of equal weight have the same variance of their mean.
        count=shares**2 / squares[held],
        confidence=confident[held] / shares,
        frequency=came_true[held] / shares,
        index=(np.cumsum(held) - 1)[index],
    )


def quantile_edges(
    values: np.ndarray, weights: np.ndarray, num_bins: int
) -> np.ndarray:
    """Edges between which equal shares of the weight lie; ties stay together."""
    order = np.argsort(values)
    cumulative = np.cumsum(weights[order])
    targets = np.arange(1, num_bins) / num_bins * cumulative[-1]
    # A share that is met but for rounding is met.
    inner = values[order][np.searchsorted(cumulative, targets * (1 - 1e-12))]
    return np.concatenate([[values.min()], inner, [values.max()]])
