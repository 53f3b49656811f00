"""The result of tuning a dropout rate."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_deeptools._axes import new_axes
from keras_deeptools._text_table import text_table


@dataclass(frozen=True, eq=False)
class DropoutRateTuning:
    """Validation likelihood by dropout rate; made by `tune_dropout_rate`.

    Attributes:
        rates: Float64 array `(rates,)`, in the order given.
        log_likelihood: Float64 array `(rates,)`, mean over the validation rows, nats.
        standard_error: Float64 array `(rates,)`, of that mean over rows.
        difference: Float64 array `(rates,)`, `log_likelihood` less that of the best.
        difference_error: Float64 array `(rates,)`, standard error of `difference`;
            smaller than `standard_error`, because the rows are the same.
        noise: Float64 array `(rates,)`, fitted standard deviation of the targets around
            a sample; NaN in classification.
        retrained: Bool, whether each rate was trained.

    Example:

    >>> import numpy as np
    >>> from keras_deeptools.uncertainty import DropoutRateTuning
    >>> logs = np.array([[-1.0, -2.0, -3.0], [-1.0, -1.5, -2.0]])
    >>> tuning = DropoutRateTuning.from_rows([0.1, 0.2], logs)
    >>> tuning.best_rate
    0.2
    >>> print(tuning)
    rate     log-likelihood        to the best
     0.1  -2.0000 +- 0.5774  -0.5000 +- 0.2887
    *0.2  -1.5000 +- 0.2887   0.0000 +- 0.0000
    """

    rates: np.ndarray
    log_likelihood: np.ndarray
    standard_error: np.ndarray
    difference: np.ndarray
    difference_error: np.ndarray
    noise: np.ndarray
    retrained: bool

    @classmethod
    def from_rows(
        cls,
        rates: Any,
        log_likelihoods: Any,
        noise: Any = None,
        retrained: bool = True,
    ) -> "DropoutRateTuning":
        """Summarize the log-likelihoods of rows.

        Args:
            rates: Float array `(rates,)`.
            log_likelihoods: Float array `(rates, rows)`.
            noise: Float array `(rates,)` or None.
            retrained: Bool.
        """
        logs = np.asarray(log_likelihoods, "float64")
        means = logs.mean(axis=1)
        less = logs - logs[means.argmax()]
        num_rows = logs.shape[1]
        errors = [
            each.std(axis=1, ddof=min(1, num_rows - 1)) / np.sqrt(num_rows)
            for each in (logs, less)
        ]
        if noise is None:
            noise = np.full(len(logs), np.nan)
        return cls(
            np.asarray(rates, "float64"),
            means,
            errors[0],
            less.mean(axis=1),
            errors[1],
            np.asarray(noise, "float64"),
            retrained,
        )

    @property
    def best_rate(self) -> float:
        """The rate of the largest likelihood."""
        return float(self.rates[self.log_likelihood.argmax()])

    def __str__(self) -> str:
        """The table."""
        return self.table()

    def table(self) -> str:
        """One line for each rate, a star at the best."""
        rows = []
        for i, rate in enumerate(self.rates):
            star = "*" if rate == self.best_rate else ""
            own = f"{self.log_likelihood[i]:.4f} +- {self.standard_error[i]:.4f}"
            less = f"{self.difference[i]:.4f} +- {self.difference_error[i]:.4f}"
            rows.append([f"{star}{rate:g}", own, less])
        return text_table(["rate", "log-likelihood", "to the best"], rows, text=())

    def plot(self, ax: Any = None) -> Any:
        """Draw the likelihood, with one standard error of the distance to the best.

        On the matplotlib axes `ax`, or on those of a new figure; returns the axes.
        """
        ax = new_axes("DropoutRateTuning.plot") if ax is None else ax
        order = np.argsort(self.rates)
        ax.errorbar(
            self.rates[order],
            self.log_likelihood[order],
            self.difference_error[order],
            marker="o",
            capsize=3,
        )
        ax.axvline(self.best_rate, color="tab:green", label=f"best {self.best_rate:g}")
        ax.set_xlabel("dropout rate")
        ax.set_ylabel("validation log-likelihood (nats a row)")
        ax.legend()
        return ax
