"""What a gradient monitor has seen, as text and as a table."""

import csv
from typing import Any

import numpy as np

LATEST = 100


def summary(monitor: Any) -> str:
    """A table with a line for each column of the monitor's history."""
    history, steps = monitor.history, monitor.steps
    names = [*monitor.statistics, "nonfinite"]
    problems: dict[str, list[str]] = {}
    for problem in monitor.problems:
        problems.setdefault(problem.variable, []).append(problem.kind)
    width = max([8, *map(len, monitor.variables)])
    header = f"{'variable':<{width}}" + "".join(f"{name:>15}" for name in names)
    lines = [
        f"Gradients of {len(steps)} recorded updates, medians of the latest "
        f"{min(LATEST, len(steps))}; skipped by loss scaling: "
        f"{monitor.skipped_updates}.",
        f"{header}  problems".rstrip(),
    ]
    for i, variable in enumerate(monitor.variables):
        cells = [_cell(name, history[name][-LATEST:, i]) for name in names]
        kinds = [
            kind
            for name, found in problems.items()
            if name == variable or variable.startswith(f"{name}/")
            for kind in found
        ]
        line = f"{variable:<{width}}" + "".join(f"{cell:>15}" for cell in cells)
        lines.append(f"{line}  {', '.join(dict.fromkeys(kinds))}".rstrip())
    lines += [str(problem) for problem in monitor.problems]
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
