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


SMALL = ("/bias", "/gamma", "/beta")
"""Ends of the names of variables that a plot leaves out if there are kernels."""


def figure_of(monitor: Any, path: str | None, ax: Any, biases: bool) -> Any:
    """Draws the heat map and the gradient flow; returns the figure."""
    norms = monitor.history.get("norm")
    if norms is None or not len(norms):
        raise ValueError(
            "GradientMonitor.plot: there must be recorded norms. Received: "
            f"statistics={monitor.statistics!r}, {len(monitor.steps)} updates. Train "
            'with `statistics` that have "norm" first.'
        )
    names = monitor.variables
    shown = [i for i, name in enumerate(names) if biases or not name.endswith(SMALL)]
    shown = shown or list(range(len(names)))
    norms, names = norms[:, shown], shortened([names[i] for i in shown])
    if ax is None:
        height = 2.5 + 0.2 * min(len(names), MOST_NAMES)
        ax = new_panels("GradientMonitor.plot", 1, 2, (14, height))[0]
    heat, flow = ax
    _heat_map(heat, norms, monitor.steps, names)
    _flow(flow, norms, names)
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
    ax.set_title("Gradients, update by update")
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
    ax.set_xlabel("L2 norm of the gradient")
    ax.set_title("Gradient flow over all recorded updates")
    ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)


def _name(ax: Any, names: list[str], offset: float) -> None:
    thin = -(-len(names) // MOST_NAMES)
    ax.set_yticks(np.arange(len(names))[::thin] + offset, names[::thin], fontsize=8)


def shortened(names: list[str]) -> list[str]:
    """Names without the folders that all of them begin with, such as the model's.

    Example:

    >>> from keras_deeptools.callbacks._gradient_monitor.display import shortened
    >>> shortened(["net/dense/kernel", "net/dense_1/kernel"])
    ['dense/kernel', 'dense_1/kernel']
    """
    shared = os.path.commonprefix([name.rpartition("/")[0] for name in names])
    cut = shared.rfind("/") + 1
    if len(names) > 1 and all(name.startswith(f"{shared}/") for name in names):
        cut = len(shared) + 1
    return [name[cut:] for name in names]


LATEST = 100
"""Number of recorded updates whose medians the table shows."""


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
    for row, name in zip(rows, shortened(monitor.variables), strict=True):
        row[0] = name
    lines = [
        f"Gradients of {len(steps)} recorded updates, medians of the latest "
        f"{min(LATEST, len(steps))}; skipped by loss scaling: "
        f"{monitor.skipped_updates}.",
        text_table(["variable", *names, "findings"], rows, text=(0, -1)),
        *_in_words(findings, monitor.variables),
    ]
    return "\n".join(lines)


def _in_words(findings: list[Any], variables: list[str]) -> list[str]:
    """A line for each kind of finding: where, the first in full, and what to do."""
    kinds = dict.fromkeys(finding.kind for finding in findings)
    lines = []
    for kind in kinds:
        first, *others = [finding for finding in findings if finding.kind == kind]
        line = str(first)
        if others:
            places = [finding.where for finding in others]
            line += f" The same in {', '.join(_ranges(places, variables))}."
        lines.append(line)
    return lines


def _ranges(places: list[str], variables: list[str]) -> list[str]:
    """Places by name; a sequence of neighbours is written as its two ends."""
    short = dict(zip(variables, shortened(variables), strict=True))
    of_kind: dict[str, list[str]] = {}
    for name in variables:
        of_kind.setdefault(name.rpartition("/")[2], []).append(name)
    next_of = {
        one: other
        for names in of_kind.values()
        for one, other in itertools.pairwise(names)
    }
    rows: list[list[str]] = []
    for place in places:
        if rows and next_of.get(rows[-1][-1]) == place:
            rows[-1].append(place)
        else:
            rows.append([place])
    named = [[short.get(place, place) for place in row] for row in rows]
    return [
        f"{row[0]} to {row[-1]}" if len(row) > 2 else ", ".join(row) for row in named
    ]


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
