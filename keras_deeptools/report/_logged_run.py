"""What was logged of a run, epoch by epoch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_deeptools._arguments import message

HYPERPARAMETERS = (
    "learning_rate",
    "lr",
    "momentum",
    "beta_1",
    "beta_2",
    "weight_decay",
    "gradient_norm",
)
"""Keys of a history that are no metrics."""


@dataclass(frozen=True)
class Run:
    """The numbers of a run.

    Args:
        series: Dict from a name to its epochs, counted from 1, and values: arrays of
            one length.
        not_drawn: Names of what is not one number an epoch.
        monitor: Str, the name that tells which epoch is best.
        best_epoch: Int or None, that epoch; None where the monitor is never finite.
    """

    series: dict[str, tuple[np.ndarray, np.ndarray]]
    not_drawn: tuple[str, ...]
    monitor: str
    best_epoch: int | None

    @property
    def epochs(self) -> np.ndarray:
        """All epochs, counted from 1."""
        return np.unique(np.concatenate([x for x, _ in self.series.values()]))

    @property
    def metrics(self) -> list[str]:
        """Names of losses and metrics, without those of validation."""
        names = [name.removeprefix("val_") for name in self.series]
        found = dict.fromkeys(name for name in names if name not in HYPERPARAMETERS)
        return sorted(found, key=lambda name: name != "loss")

    def value(self, name: str, epoch: int | None) -> float | None:
        """The value of an epoch, if there is one."""
        if name not in self.series:
            return None
        epochs, values = self.series[name]
        return next(iter(values[epochs == epoch].tolist()), None)


def run_of(owner: str, history: Any) -> Run:
    """Reads a history.

    Args:
        owner: Str. Whom an error names.
        history: What `fit` or `fine_tune` returned, or a dict from names to values.
    """
    logged = history if isinstance(history, Mapping) else _logged(history)
    rule = "a History as `fit` returns it, or a dict from names to lists of numbers"
    if logged is None:
        raise TypeError(message(owner, "history", rule, history))
    columns, not_drawn = {}, []
    for name, values in logged.items():
        try:
            column = np.asarray(values, "float64")
        except (TypeError, ValueError):
            column = np.zeros((0, 0))
        if column.ndim == 1:
            columns[str(name)] = column
        else:
            not_drawn.append(str(name))
    length = max(map(len, columns.values()), default=0)
    if not length:
        remedy = "Train at least one epoch."
        raise ValueError(
            message(owner, "history", "of one epoch or more", history, remedy)
        )
    given = getattr(history, "epoch", None)
    fits = isinstance(given, (list, tuple)) and len(given) == length
    epochs = 1 + np.asarray(given if fits else range(length), "int64")
    series = {name: (_at(epochs, len(c)), c) for name, c in columns.items() if len(c)}
    monitor, best = _best(history, series)
    return Run(series, tuple(not_drawn), monitor, best)


def _logged(history: Any) -> Mapping | None:
    logged = getattr(history, "history", None)
    return logged if isinstance(logged, Mapping) else None


def _at(epochs: np.ndarray, count: int) -> np.ndarray:
    """The epochs that a shorter column is of: every n-th, as with `validation_freq`."""
    every = len(epochs) // count
    return epochs[every - 1 :: every][:count]


def _best(history: Any, series: dict) -> tuple[str, int | None]:
    chosen = getattr(history, "best_epoch", None)
    monitor = getattr(history, "monitor", None)
    if isinstance(chosen, int) and isinstance(monitor, str):
        return monitor, chosen + 1
    name = next((n for n in ("val_loss", "loss") if n in series), next(iter(series)))
    epochs, values = series[name]
    finite = np.where(np.isfinite(values), values, np.inf)
    known = bool(np.isfinite(values).any())
    return name, int(epochs[finite.argmin()]) if known else None
