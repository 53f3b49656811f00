"""The risk of a model that predicts only where it is confident."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_deeptools._arguments import checked_float, message
from keras_deeptools._axes import new_axes
from keras_deeptools._text_table import NotebookText, text_table
from keras_deeptools.uncertainty._labelled_rows import (
    LabelledRows,
    labelled_rows,
    read_weights,
)


@dataclass(frozen=True, eq=False)
class RiskCoverageCurve(NotebookText):
    """Risk against coverage; made by `risk_coverage_curve` and `from_losses`.

    Attributes:
        coverage: Float64 array `(n,)`, shares of the samples that are predicted, in
            ascending order up to 1.
        risk: Float64 array `(n,)`, mean loss of the samples that are predicted.
        threshold: Float64 array `(n,)`, the lowest confidence among them.
        area: Float, mean risk over all coverages (AURC); small is good.
        optimal_area: Float, the area of the best order of the same samples, by loss.
        excess_area: Float >= 0, `area - optimal_area` (E-AURC).

    Example:

    >>> from keras_deeptools.uncertainty import risk_coverage_curve
    >>> curve = risk_coverage_curve([0.9, 0.2, 0.6, 0.3], [1, 0, 0, 0])
    >>> [round(risk, 3) for risk in curve.risk.tolist()]
    [0.0, 0.0, 0.0, 0.25]
    """

    coverage: np.ndarray
    risk: np.ndarray
    threshold: np.ndarray
    area: float
    optimal_area: float

    @classmethod
    def from_losses(
        cls, losses: Any, confidence: Any, *, sample_weight: Any = None
    ) -> "RiskCoverageCurve":
        """Returns the curve of any loss and confidence, for instance in regression.

        Args:
            losses: Float array `(n,)`, the loss of each sample, such as its squared
                error.
            confidence: Float array `(n,)`, large where the model is confident, such as
                minus the `.std` of a Monte Carlo prediction.
            sample_weight: Float array `(n,)` or None, weights >= 0 of the samples.

        Returns:
            `RiskCoverageCurve`.

        Raises:
            ValueError: If shapes do not match or a value is not finite.
        """
        return _curve("RiskCoverageCurve", losses, confidence, sample_weight)

    @property
    def excess_area(self) -> float:
        """Area above that of the best order (E-AURC)."""
        return self.area - self.optimal_area

    def risk_at(self, coverage: float) -> float:
        """Returns the mean loss when at least the given share of samples is predicted.

        Args:
            coverage: Float in (0, 1].
        """
        owner = "RiskCoverageCurve.risk_at"
        checked_float(owner, "coverage", coverage, above=0, at_most=1)
        reached = np.searchsorted(self.coverage, coverage * (1 - 1e-12))
        return float(self.risk[reached])

    def threshold_at(self, risk: float) -> float:
        """Returns the lowest confidence above which the mean loss is at most `risk`.

        Args:
            risk: Float, the largest mean loss that is acceptable.

        Returns:
            Float, a threshold that itself is included; infinity if no threshold keeps
            the mean loss that low.
        """
        # Samples of the same confidence are predicted together.
        last = np.append(self.threshold[1:] != self.threshold[:-1], True)
        within = np.flatnonzero(last & (self.risk <= risk * (1 + 1e-12)))
        return float(self.threshold[within[-1]]) if len(within) else np.inf

    def __str__(self) -> str:
        """The table."""
        return self.table()

    def table(self) -> str:
        """Returns the risk at ten coverages, then the areas."""
        rows = [
            [f"{coverage:.1f}", f"{self.risk_at(coverage):.4f}"]
            for coverage in np.arange(1, 11) / 10
        ]
        areas = (
            f"area {self.area:.4f}, best order {self.optimal_area:.4f}, "
            f"excess {self.excess_area:.4f}"
        )
        return f"{text_table(['coverage', 'risk'], rows, text=())}\n{areas}"

    def plot(self, ax: Any = None) -> Any:
        """Draws risk against coverage.

        It draws on the matplotlib axes `ax`, or on those of a new figure, and returns
        the axes.
        """
        ax = new_axes("RiskCoverageCurve.plot") if ax is None else ax
        label = f"area {self.area:.4f}, excess {self.excess_area:.4f}"
        ax.plot(self.coverage, self.risk, label=label)
        ax.set_xlabel("coverage (share of the rows answered)")
        ax.set_ylabel("risk (mean loss of these rows)")
        ax.set_xlim(0, 1)
        ax.set_ylim(bottom=0)
        ax.legend()
        return ax


def risk_coverage_curve(
    probabilities: Any,
    labels: Any,
    *,
    confidence: Any = None,
    sample_weight: Any = None,
    multi_label: bool | None = None,
    ignore_class: int | None = None,
) -> RiskCoverageCurve:
    """Returns the error when the least confident samples are left to a human.

    The curve shows whether a measure of uncertainty ranks the mistakes last. Compare
    measures on one model by the area (`confidence=-entropy`, ...), and models by the
    excess area, which does not reward accuracy twice.

    Args:
        probabilities: Float array `(n,)`, `(n, 1)` or `(n, ..., classes)`, as for
            `brier_score`.
        labels: Class indices, one-hot labels or 0 and 1, as for `brier_score`.
        confidence: Float array `(n,)` or None, large where the model is confident.
            Default: the probability of the predicted class. Pixels, tokens or
            independent outputs that share a confidence are predicted together, and
            their risk is the share of them that is wrong; if `confidence` has further
            axes, each of them has its own. By default the independent outputs of a
            sample are predicted together, by the mean probability of what is predicted.
        sample_weight: Float array or None, as for `brier_score`.
        multi_label: Bool or None, as for `brier_score`.
        ignore_class: Int or None, a label that does not count, such as 255 or -1.

    Returns:
        `RiskCoverageCurve`, with `.table()` and `.plot()`. Samples of equal confidence
        count as in random order: the values are means over all such orders (with sample
        weights, close to them).

    Raises:
        ValueError: If shapes do not match, or a value is not a probability or a class.

    Example:

    >>> from keras_deeptools.uncertainty import risk_coverage_curve
    >>> curve = risk_coverage_curve([0.9, 0.2, 0.6, 0.55], [1, 0, 0, 1])
    >>> round(curve.area, 4), round(curve.optimal_area, 4)
    (0.1458, 0.0625)
    >>> curve.threshold_at(risk=0.1)
    0.8

    Reference:
        Geifman & El-Yaniv, 2017. https://arxiv.org/abs/1705.08500. Area and excess:
        Geifman et al., 2018, section 3. https://arxiv.org/abs/1805.08206. Their optimum
        is a formula for many samples; here it is computed from the given ones.
    """
    owner = "risk_coverage_curve"
    rows = labelled_rows(
        owner, probabilities, labels, sample_weight, multi_label, ignore_class
    )
    sure = rows.probabilities.max(axis=1)
    wrong = (rows.probabilities.argmax(axis=1) != rows.labels).astype("float64")
    if confidence is None and rows.outputs is None:
        return _curve(owner, wrong, sure, rows.weights)
    if confidence is None:
        axes = rows.shape[:-1]
        confidence, _ = _means(rows, sure, axes)
    else:
        confidence = _checked_confidence(owner, rows, confidence)
        axes = confidence.shape
    losses, weights = _means(rows, wrong, axes)
    return _curve(owner, losses, confidence.reshape(-1), weights)


def _checked_confidence(owner: str, rows: LabelledRows, confidence: Any) -> np.ndarray:
    """Returns an array over the first axes of `rows`: of samples, or of pixels."""
    values = np.asarray(confidence, "float64")
    leading = [rows.shape[: i + 1] for i in range(len(rows.shape))]
    if values.shape not in leading and values.shape[-1:] == (1,):
        values = values[..., 0]
    if values.shape not in leading:
        rule = f"of shape {' or '.join(map(str, leading))}"
        raise ValueError(message(owner, "confidence", rule, values.shape))
    return values


def _means(
    rows: LabelledRows, values: np.ndarray, axes: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Returns means of the values that are predicted together, and their weights."""
    size = int(np.prod(axes))
    group = rows.kept // (int(np.prod(rows.shape)) // size)
    weights = np.bincount(group, rows.weights, minlength=size)
    sums = np.bincount(group, rows.weights * values, minlength=size)
    return np.divide(sums, weights, out=np.zeros(size), where=weights > 0), weights


def _curve(
    owner: str, losses: Any, confidence: Any, sample_weight: Any
) -> RiskCoverageCurve:
    losses = np.asarray(losses, "float64")
    confidence = np.asarray(confidence, "float64")
    for name, values in {"losses": losses, "confidence": confidence}.items():
        if values.shape != losses.shape[:1] or not np.isfinite(values).all():
            rule = f"finite, of shape {losses.shape[:1] or '(n,)'}"
            raise ValueError(message(owner, name, rule, values))
    if not len(losses):
        raise ValueError(message(owner, "losses", "of at least one row", losses))
    weights = read_weights(owner, sample_weight, len(losses))
    losses, confidence = losses[weights > 0], confidence[weights > 0]
    weights = weights[weights > 0]
    # Samples of equal confidence may come in any order: each counts as their mean loss.
    levels, group = np.unique(confidence, return_inverse=True)
    totals = np.bincount(group, weights * losses) / np.bincount(group, weights)
    order = np.argsort(-confidence, kind="stable")
    coverage, risk = _running(totals[group][order], weights[order])
    best = np.argsort(losses, kind="stable")
    _, lowest = _running(losses[best], weights[best])
    return RiskCoverageCurve(
        coverage=coverage,
        risk=risk,
        threshold=levels[group][order],
        area=float(weights[order] @ risk),
        optimal_area=float(weights[best] @ lowest),
    )


def _running(losses: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the share of the weight so far, and the mean loss so far."""
    share = np.cumsum(weights)
    return share / share[-1], np.cumsum(weights * losses) / share
