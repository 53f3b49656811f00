"""The table and the picture of what `few_labels.py` has run."""

from pathlib import Path
from typing import Any

import numpy as np
from markdown_table import mean_and_error, standard_error
from matplotlib.figure import Figure

ROWS = (
    "small CNN",
    "scratch",
    "head alone",
    "plain",
    "plain, BatchNorm frozen",
    "fine_tune",
)


def print_table(runs: list[dict[str, Any]]) -> None:
    """A row for each method, and how far `fine_tune` is ahead of each, seed by seed."""
    counts = sorted({run["labels"] for run in runs})
    found = {(run["method"], run["labels"], run["seed"]): run for run in runs}
    print("| accuracy, % |" + "".join(f" {n} per class |" for n in counts))
    print("|---|" + "---|" * len(counts))
    for minus in (False, True):
        for method in ROWS[: len(ROWS) - minus]:
            cells = []
            for count in counts:
                pairs = [
                    (run["accuracy"], found.get(("fine_tune", count, run["seed"])))
                    for run in runs
                    if (run["method"], run["labels"]) == (method, count)
                ]
                values = [value for value, _ in pairs]
                if minus:
                    values = [ours["accuracy"] - v for v, ours in pairs if ours]
                cells.append(mean_and_error(100 * np.array(values)) if values else "")
            if any(cells):
                name = f"fine_tune minus {method}" if minus else method
                print(f"| {name} | " + " | ".join(cells) + " |")


Points = list[tuple[int, float, float]]
"""Numbers of labels, with mean and standard error of the accuracy in points."""


def points(runs: list[dict[str, Any]], method: str) -> Points:
    """Where several seeds have run."""
    found = []
    for count in sorted({run["labels"] for run in runs}):
        values = [
            100 * run["accuracy"]
            for run in runs
            if (run["method"], run["labels"]) == (method, count)
        ]
        if len(values) > 1:
            found.append((count, float(np.mean(values)), standard_error(values)))
    return found


def draw(found: dict[str, Points], path: Path) -> None:
    """Accuracy of each method against the number of labels."""
    axes = Figure((6, 3.6), layout="constrained").subplots()
    for method, places in found.items():
        if places:
            counts, means, errors = zip(*places, strict=True)
            ours = method == "fine_tune"
            style = {"color": "k", "lw": 2.5} if ours else {}
            axes.errorbar(counts, means, errors, marker="o", label=method, **style)
    axes.set_xscale("log")
    ticks = sorted({count for places in found.values() for count, *_ in places})
    axes.set_xticks(ticks)
    axes.set_xticklabels([str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set(xlabel="labels per class", ylabel="accuracy, %")
    axes.legend(fontsize=8)
    axes.figure.savefig(path, dpi=110)
