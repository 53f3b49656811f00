"""Charts of a training run: learning curves, hyperparameters, gradients."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_deeptools._arguments import message
from keras_deeptools.report._charts import MUTED, SIZE, new_chart
from keras_deeptools.report._markup import Markup, grid

MOST_ROWS = 200
MOST_MARKERS = 30
WIDE_RANGE = 30.0
"""Ratio of the largest loss to the smallest from which on the scale is logarithmic."""

Curve = tuple[np.ndarray, np.ndarray, str]
HYPERPARAMETERS = (
    "learning_rate",
    "lr",
    "momentum",
    "beta_1",
    "beta_2",
    "weight_decay",
    "gradient_norm",
)
"""Keys of a history that are not metrics."""

MOST_NAMES = 40
LONGEST_NAME = 20
USUAL_RATIO = (1e-4, 1e-2)
"""About a thousandth is the target; the range is an order of magnitude around it."""


@dataclass(frozen=True)
class Run:
    """The numbers of a run.

    Args:
        series: Dict from a name to its epochs, counted from 1, and values: arrays of
            the same length.
        not_drawn: Names of series that do not have one number per epoch.
        monitor: Str, the name that decides which epoch is best.
        best_epoch: Int or None, that epoch; None if the monitor is never finite.
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
        """Returns the value in an epoch, if there is one."""
        if name not in self.series:
            return None
        epochs, values = self.series[name]
        return next(iter(values[epochs == epoch].tolist()), None)


def run_of(owner: str, history: Any) -> Run:
    """Reads a history.

    Args:
        owner: Str. Who is named in errors.
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
    """Returns the epochs of a shorter column: every n-th, as with `validation_freq`."""
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


def learning_curves(owner: str, run: Run) -> Iterator[Any]:
    """Yields a figure for each loss and metric, with the best epoch marked."""
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
    """Returns a dict from names to positions, values and what the positions are.

    Args:
        run: `Run`.
        schedulers: Callbacks that have recorded values by update; they take precedence
            over what the run has by epoch.
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
    """Yields a figure for each hyperparameter."""
    for name, (positions, values, unit) in curves.items():
        ax = new_chart(owner, 2.6)
        _line(ax, positions, values, "-", "C0", None)
        ax.set_title(name)
        ax.set_xlabel(unit)
        ax.xaxis.get_major_locator().set_params(integer=True)
        yield ax.figure


def epochs_table(run: Run) -> Markup:
    """Returns every number of every epoch; of very many epochs, some and the best."""
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
    """Marks the epoch, and the point on the curve of validation, if there is one."""
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


def is_gradient_monitor(thing: Any) -> bool:
    """Returns whether it has gradients by variable, like `GradientMonitor`."""
    names = ("variables", "steps", "history", "findings", "plot")
    return not isinstance(thing, type) and all(hasattr(thing, name) for name in names)


def gradient_charts(owner: str, monitor: Any) -> Iterator[Any]:
    """Yields figures: norms over layers and steps, the gradient flow, update ratios.

    Args:
        owner: Str. Who is named in errors.
        monitor: `GradientMonitor`.
    """
    count = min(len(monitor.variables), MOST_NAMES)
    height = max(SIZE[1], 1.2 + 0.17 * count)
    history = monitor.history
    if "norm" in history:
        heat, flow = new_chart(owner, height), new_chart(owner, height)
        monitor.plot(ax=(heat, flow))
        heat.set_title("Gradient norms over the updates")
        heat.set_xlabel("optimizer update (gray: zero or not finite)")
        heat.grid(False)
        flow.set_title("Gradient flow")
        flow.set_xlabel("L2 norm of the gradient")
        flow.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
        for ax in (heat, flow):
            _shorten(ax)
            yield ax.figure
    if "update_ratio" in history:
        ax = new_chart(owner, height)
        _ratios(ax, history["update_ratio"], monitor.variables)
        _shorten(ax)
        yield ax.figure


def _ratios(ax: Any, ratios: np.ndarray, names: list[str]) -> None:
    """Draws median and middle 80% of each variable's ratios over the updates."""
    usable = np.ma.masked_invalid(np.where(ratios > 0, ratios, np.nan))
    known = [usable[:, i].compressed() for i in range(len(names))]
    empty = (np.nan,) * 3
    low, middle, high = np.array(
        [np.percentile(v, (10, 50, 90)) if v.size else empty for v in known]
    ).T
    rows = np.arange(len(names))
    ax.axvspan(*USUAL_RATIO, color="C2", alpha=0.12, label="usual")
    ax.hlines(rows, low, high, color="C0", alpha=0.5, linewidth=4)
    ax.plot(middle, rows, "o", color="C0", markersize=4, label="median, middle 80%")
    ax.set_xscale("log")
    thin = -(-len(names) // MOST_NAMES)
    ax.set_yticks(rows[::thin], names[::thin])
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_title("Update-to-weight ratios")
    ax.set_xlabel("norm of the update over that of the weights")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)


def _shorten(ax: Any) -> None:
    """Shortens names to leave space for the chart, by the beginning that they share."""
    labels = [label.get_text() for label in ax.get_yticklabels()]
    shared = os.path.commonprefix(labels)
    begin = shared.rfind("/") + 1
    short = [
        text[begin:]
        if len(text) - begin <= LONGEST_NAME
        else f"…{text[-LONGEST_NAME:]}"
        for text in labels
    ]
    ax.set_yticks(ax.get_yticks(), short, fontsize=8)
