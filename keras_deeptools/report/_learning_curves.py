"""Learning curves, and hyperparameters over a run."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from keras_deeptools.report._charts import new_chart
from keras_deeptools.report._logged_run import HYPERPARAMETERS, Run
from keras_deeptools.report._markup import Markup, grid
from keras_deeptools.report._svg import MUTED

MOST_ROWS = 200
MOST_MARKERS = 30
WIDE_RANGE = 30.0
"""Ratio of the largest loss to the smallest from which on the scale is logarithmic."""

Curve = tuple[np.ndarray, np.ndarray, str]


def learning_curves(owner: str, run: Run) -> Iterator[Any]:
    """A figure for each loss and metric, with the best epoch marked."""
    for name in run.metrics:
        ax = new_chart(owner)
        for key, line, label in (
            (name, "--", "training"),
            (f"val_{name}", "-", "validation"),
        ):
            if key in run.series:
                color = "C0" if label == "training" else "C1"
                _line(ax, *run.series[key], line, color, label)
        if run.best_epoch is not None:
            _mark(ax, run, name)
        if name == "loss":
            _scale(ax, run)
        ax.set_title(name)
        ax.set_xlabel("epoch")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.legend()
        yield ax.figure


def hyperparameter_curves(run: Run, schedulers: Iterable[Any]) -> dict[str, Curve]:
    """Name -> positions, values and what the positions are.

    Args:
        run: `Run`.
        schedulers: Callbacks that have recorded values by update; they come before
            what the run has by epoch.
    """
    found: dict[str, Curve] = {
        name: (*run.series[name], "epoch")
        for name in HYPERPARAMETERS
        if name in run.series
    }
    for scheduler in schedulers:
        steps = scheduler.steps
        if len(steps):
            for name, values in scheduler.history.items():
                found[name] = (steps, np.asarray(values), "optimizer update")
    return found


def hyperparameter_charts(owner: str, curves: dict[str, Curve]) -> Iterator[Any]:
    """A figure for each hyperparameter."""
    for name, (positions, values, unit) in curves.items():
        ax = new_chart(owner, 2.6)
        _line(ax, positions, values, "-", "C0", None)
        ax.set_title(name)
        ax.set_xlabel(unit)
        ax.xaxis.get_major_locator().set_params(integer=True)
        yield ax.figure


def epochs_table(run: Run) -> Markup:
    """Every number of every epoch; of very many epochs, some and the best one."""
    epochs = run.epochs
    thin = -(-len(epochs) // MOST_ROWS)
    kept = set(epochs[::thin].tolist()) | {int(epochs[-1]), run.best_epoch}
    rows = []
    for epoch in epochs.tolist():
        if epoch in kept:
            values = [run.value(name, epoch) for name in run.series]
            best = " (best)" if epoch == run.best_epoch else ""
            cells = ["-" if value is None else f"{value:.5g}" for value in values]
            rows.append([f"{epoch}{best}", *cells])
    return grid("Values by epoch", ["epoch", *run.series], rows)


def _line(
    ax: Any, x: np.ndarray, y: np.ndarray, line: str, color: str, label: str | None
) -> None:
    marker = "o" if len(x) <= MOST_MARKERS else ""
    y = np.where(np.isfinite(y), y, np.nan)
    ax.plot(x, y, f"{line}{marker}", color=color, label=label, markersize=3.5)


def _mark(ax: Any, run: Run, name: str) -> None:
    """The epoch, and the point on the curve of validation, if there is one."""
    ax.axvline(run.best_epoch, color=MUTED, linewidth=1, linestyle=":")
    values = {key: run.value(key, run.best_epoch) for key in (f"val_{name}", name)}
    shown = next((value for value in values.values() if value is not None), None)
    if shown is not None and np.isfinite(shown):
        label = f"epoch {run.best_epoch}: {shown:.4g}"
        ax.plot([run.best_epoch], [shown], "D", color="C3", label=label, markersize=6)


def _scale(ax: Any, run: Run) -> None:
    values = [run.series[key][1] for key in ("loss", "val_loss") if key in run.series]
    known = np.concatenate(values)
    known = known[np.isfinite(known)]
    if known.size and known.min() > 0 and known.max() > WIDE_RANGE * known.min():
        ax.set_yscale("log")
