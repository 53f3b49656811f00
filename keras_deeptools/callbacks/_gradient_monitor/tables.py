"""What a gradient monitor has recorded, as text and as a file of numbers."""

import csv
from typing import Any

import numpy as np

from keras_deeptools._text_table import text_table

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
