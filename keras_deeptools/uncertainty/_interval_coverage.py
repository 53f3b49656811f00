"""How often targets lie in the intervals that a regression model predicts."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from keras_deeptools._arguments import message
from keras_deeptools._axes import new_axes
from keras_deeptools._text_table import NotebookText, text_table
from keras_deeptools.uncertainty._negative_log_likelihood import gaussian_rows

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


@dataclass(frozen=True, eq=False)
class IntervalCoverage(NotebookText):
    """Nominal and observed coverage; made by `interval_coverage`.

    Attributes:
        levels: Float64 array `(levels,)`, the nominal coverages.
        coverage: Float64 array `(levels,)`, share of the targets in their interval.
        standard_error: Float64 array `(levels,)`, standard error of `coverage` if the
            model were right and the samples independent.
        width: Float64 array `(levels,)`, mean width of the intervals.
        calibration_error: Float in [0, 1], mean distance between nominal and observed
            coverage.

    Example:

    >>> from keras_deeptools.uncertainty import interval_coverage
    >>> found = interval_coverage([0.0, 0.0], 1.0, [0.5, 3.0], levels=[0.5, 0.9])
    >>> found.coverage.tolist()
    [0.5, 0.5]
    """

    levels: np.ndarray
    coverage: np.ndarray
    standard_error: np.ndarray
    width: np.ndarray
    calibration_error: float

    def __str__(self) -> str:
        """The table."""
        return self.table()

    def table(self) -> str:
        """Returns one line for each level, then the summary."""
        rows = [
            [
                f"{self.levels[i]:.3g}",
                f"{self.coverage[i]:.4f}",
                f"+- {self.standard_error[i]:.3f}",
                f"{self.width[i]:.4g}",
            ]
            for i in range(len(self.levels))
        ]
        titles = ["nominal", "observed", "if right", "mean width"]
        table = text_table(titles, rows, text=())
        return f"{table}\nmean distance {self.calibration_error:.4f}"

    def plot(self, ax: Any = None) -> Any:
        """Draws observed against nominal coverage.

        It draws on the matplotlib axes `ax`, or on those of a new figure, and returns
        the axes.
        """
        ax = new_axes("IntervalCoverage.plot") if ax is None else ax
        ax.plot([0, 1], [0, 1], "--", color="0.5", linewidth=1)
        ax.plot(self.levels, self.coverage, "o-", label="intervals")
        ax.set_title(f"mean distance {self.calibration_error:.3f}")
        ax.set_xlabel("nominal coverage")
        ax.set_ylabel("observed coverage")
        ax.legend(loc="upper left")
        return ax


def interval_coverage(
    mean: Any,
    std: Any,
    targets: Any,
    levels: Sequence[float] = LEVELS,
    *,
    sample_weight: Any = None,
) -> IntervalCoverage:
    """Compares how often targets lie in central normal intervals with nominal coverage.

    If the observed coverage is below the nominal one, the model is overconfident. Look
    at the width too: very wide intervals cover everything.

    Args:
        mean: Float array `(n,)` or `(n, outputs)`, what `predict` returns, or the
            `.mean` of a Monte Carlo prediction.
        std: Float > 0 or array with the shape of `mean`, standard deviations of the
            targets; see `gaussian_negative_log_likelihood`.
        targets: Float array with the shape of `mean`.
        levels: Floats in (0, 1), nominal coverages of the intervals.
        sample_weight: Float array `(n,)` or None, weights >= 0 of the samples.

    Returns:
        `IntervalCoverage`, with `.table()` and `.plot()`.

    Raises:
        ValueError: If shapes do not match, or a value is not finite or out of range.

    Example:

    >>> import numpy as np
    >>> from keras_deeptools.uncertainty import interval_coverage
    >>> targets = np.random.default_rng(0).normal(size=10_000)
    >>> print(interval_coverage(np.zeros(10_000), 0.5, targets, levels=[0.5, 0.9]))
      nominal  observed    if right  mean width
          0.5    0.2606    +- 0.005      0.6745
          0.9    0.5899    +- 0.003       1.645
    mean distance 0.2747

    Reference:
        Kuleshov et al., 2018, section 3. https://arxiv.org/abs/1807.00263
    """
    owner = "interval_coverage"
    nominal = np.asarray(levels, "float64")
    if (
        nominal.ndim != 1
        or not nominal.size
        or not ((0 < nominal) & (nominal < 1)).all()
    ):
        remedy = "Give for instance [0.5, 0.9]."
        raise ValueError(message(owner, "levels", "floats in (0, 1)", levels, remedy))
    distance, scale, shares = gaussian_rows(owner, mean, std, targets, sample_weight)
    halves = np.array([NormalDist().inv_cdf((1 + level) / 2) for level in nominal])
    coverage = np.array([shares[np.abs(distance) <= half].sum() for half in halves])
    return IntervalCoverage(
        levels=nominal,
        coverage=coverage,
        standard_error=np.sqrt(nominal * (1 - nominal) * (shares**2).sum()),
        width=2 * halves * (shares * scale).sum(),
        calibration_error=float(np.abs(coverage - nominal).mean()),
    )
