"""What `GradientMonitor` shows: tables, plots, and event files for TensorBoard."""

import csv
import itertools
import os
import socket
import time
from typing import Any

import numpy as np

from keras_deeptools._axes import new_panels
from keras_deeptools._text_table import text_table

MOST_COLUMNS = 400
MOST_NAMES = 40
_numbers = itertools.count()


def figure_of(monitor: Any, path: str | None, ax: Any) -> Any:
    """Draws the heat map and the gradient flow; returns the figure."""
    norms = monitor.history.get("norm")
    if norms is None or not len(norms):
        raise ValueError(
            "GradientMonitor.plot: there must be recorded norms. Received: "
            f"statistics={monitor.statistics!r}, {len(monitor.steps)} updates. Train "
            'with `statistics` that have "norm" first.'
        )
    if ax is None:
        height = 2.5 + 0.2 * min(len(monitor.variables), MOST_NAMES)
        ax = new_panels("GradientMonitor.plot", 1, 2, (14, height))[0]
    heat, flow = ax
    _heat_map(heat, norms, monitor.steps, monitor.variables)
    _flow(flow, norms, monitor.variables)
    figure = heat.figure
    if path is not None:
        figure.savefig(path)
    return figure


def _heat_map(ax: Any, norms: np.ndarray, steps: np.ndarray, names: list[str]) -> None:
    thin = -(-len(steps) // MOST_COLUMNS)
    shown, kept = norms[::thin], steps[::thin]
    usable = np.where(np.isfinite(shown) & (shown > 0), shown, np.nan)
    image = np.ma.masked_invalid(np.log10(usable))
    edges = np.append(kept, 2 * kept[-1] - kept[-2] if len(kept) > 1 else kept[-1] + 1)
    mesh = ax.pcolormesh(edges, np.arange(len(names) + 1), image.T, cmap="viridis")
    ax.set_facecolor("lightgray")
    ax.figure.colorbar(mesh, ax=ax, label="log10 of the gradient's L2 norm")
    _name(ax, names, 0.5)
    ax.set_xlabel("step (optimizer update); gray: zero, none or not finite")
    ax.invert_yaxis()


def _flow(ax: Any, norms: np.ndarray, names: list[str]) -> None:
    positions = np.arange(len(names))
    usable = np.where(np.isfinite(norms), norms, 0.0)
    counts = np.maximum(np.isfinite(norms).sum(axis=0), 1)
    ax.barh(positions, usable.max(axis=0), color="C0", alpha=0.3, label="largest")
    ax.barh(positions, usable.sum(axis=0) / counts, color="C0", label="mean")
    if (usable > 0).any():
        ax.set_xscale("log")
    _name(ax, names, 0.0)
    ax.invert_yaxis()
    ax.set_xlabel("L2 norm of the gradient over the recorded updates")
    ax.legend()


def _name(ax: Any, names: list[str], offset: float) -> None:
    thin = -(-len(names) // MOST_NAMES)
    ax.set_yticks(np.arange(len(names))[::thin] + offset, names[::thin], fontsize=7)


LATEST = 100
"""Recorded updates whose medians stand in the table."""


def table_of(monitor: Any) -> str:
    """A line for each column of the monitor's history, then the findings."""
    history, steps = monitor.history, monitor.steps
    names = [*monitor.statistics, "nonfinite"]
    findings = monitor.findings
    rows = []
    for i, variable in enumerate(monitor.variables):
        cells = [_cell(name, history[name][-LATEST:, i]) for name in names]
        kinds = [
            finding.kind
            for finding in findings
            if finding.where == variable or variable.startswith(f"{finding.where}/")
        ]
        rows.append([variable, *cells, ", ".join(dict.fromkeys(kinds))])
    lines = [
        f"Gradients of {len(steps)} recorded updates, medians of the latest "
        f"{min(LATEST, len(steps))}; skipped by loss scaling: "
        f"{monitor.skipped_updates}.",
        text_table(["variable", *names, "findings"], rows, text=(0, -1)),
        *map(str, findings),
    ]
    return "\n".join(lines)


def _cell(name: str, values: np.ndarray) -> str:
    values = values[~np.isnan(values)]
    if not len(values):
        return "-"
    if name == "nonfinite":
        return f"{values.sum():.0f}"
    if name == "zero_fraction":
        return f"{100 * np.median(values):.1f}%"
    return f"{np.median(values):.2e}"


def to_csv(monitor: Any, path: str) -> None:
    """Writes a line for each update and column."""
    history, steps, variables = monitor.history, monitor.steps, monitor.variables
    names = list(history)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["step", "variable", *names])
        for row, step in enumerate(steps.tolist()):
            for column, variable in enumerate(variables):
                numbers = [f"{history[name][row, column]:.9g}" for name in names]
                writer.writerow([step, variable, *numbers])


class EventFile:
    """A new file of events in a folder.

    Args:
        log_dir: Str. The folder; it is made if it does not exist.

    Raises:
        ImportError: If tensorboard is not installed.
    """

    def __init__(self, log_dir: str) -> None:
        try:
            from tensorboard.compat.proto import event_pb2, summary_pb2
            from tensorboard.summary.writer.record_writer import RecordWriter
        except ImportError as error:
            raise ImportError(
                "GradientMonitor: `log_dir` needs the package tensorboard, which is "
                f"not installed. Received: log_dir={log_dir!r}. Install it with "
                "`pip install tensorboard`, or leave `log_dir` out."
            ) from error
        self._event = event_pb2.Event
        self._summary = summary_pb2
        os.makedirs(log_dir, exist_ok=True)
        name = ".".join(
            [
                "events.out.tfevents",
                f"{int(time.time()):010d}",
                socket.gethostname(),
                str(os.getpid()),
                f"gradients{next(_numbers)}",
            ]
        )
        self.path = os.path.join(log_dir, name)
        self._records = RecordWriter(open(self.path, "wb"))
        self._write(file_version="brain.Event:2")

    def write(
        self, step: int, scalars: dict[str, float], histograms: dict[str, np.ndarray]
    ) -> None:
        """Adds one point to the curves of the given names.

        Args:
            step: Int. Position on the horizontal axis.
            scalars: Dict from name to number.
            histograms: Dict from name to the finite numbers to count; empty ones are
                left out.
        """
        values = [
            self._summary.Summary.Value(tag=tag, simple_value=value)
            for tag, value in scalars.items()
        ]
        values += [
            self._summary.Summary.Value(tag=tag, histo=self._histogram(numbers))
            for tag, numbers in histograms.items()
            if len(numbers)
        ]
        self._write(step=step, summary=self._summary.Summary(value=values))
        self._records.flush()

    def _histogram(self, numbers: np.ndarray) -> Any:
        numbers = numbers.astype("float64")
        counts, edges = np.histogram(numbers, bins=min(30, len(numbers)))
        return self._summary.HistogramProto(
            min=numbers.min(),
            max=numbers.max(),
            num=len(numbers),
            sum=numbers.sum(),
            sum_squares=np.square(numbers).sum(),
            bucket_limit=edges[1:].tolist(),
            bucket=counts.tolist(),
        )

    def _write(self, **content: Any) -> None:
        event = self._event(wall_time=time.time(), **content)
        self._records.write(event.SerializeToString())

    def close(self) -> None:
        """Closes the file."""
        self._records.close()
