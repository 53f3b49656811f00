"""Targets, tables and picture of super_convergence.py."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markdown_table import mean_and_error, print_table, standard_error
from matplotlib.figure import Figure
from super_convergence_schedules import ENDLESS, FOUND, TUNED

SEARCH_SEED = 1000
"""Of the runs that choose rates and targets."""
ALL = (*TUNED, FOUND)
Runs = Sequence[Mapping[str, Any]]


def target_of(accuracies: Sequence[float]) -> float:
    """What a long run holds: the mean of its last third, down to half a percent."""
    last = accuracies[-max(1, len(accuracies) // 3) :]
    return math.floor(2 * float(np.mean(last))) / 2


def in_epochs(number: int) -> str:
    """The length of a run."""
    return "1 epoch" if number == 1 else f"{number} epochs"


def epochs_to_target(accuracies: Mapping[int, float], target: float) -> int | None:
    """The fewest epochs with at least this accuracy; None if there are none.

    Args:
        accuracies: From epochs to accuracy.
        target: Float.
    """
    return min((n for n, value in accuracies.items() if value >= target), default=None)


def with_failures(epochs: Sequence[int | None], longest: int) -> str:
    """Mean and standard error; a lower bound of the mean if some seeds fail."""
    reached = [n for n in epochs if n is not None]
    if len(reached) == len(epochs):
        return mean_and_error(reached) if len(reached) > 1 else f"{reached[0]}"
    if not reached:
        return f"> {longest}"
    bound = np.mean([longest if n is None else n for n in epochs])
    return f"> {bound:.1f} ({len(reached)} of {len(epochs)})"


def accuracies(runs: Runs, size: int, schedule: str, seed: int) -> dict[int, float]:
    """Test accuracy by epochs: of every run at its end, and within those without."""
    return {
        n: value
        for run in runs
        if (run["size"], run["schedule"], run["seed"]) == (size, schedule, seed)
        for n, value in zip(run.get("at", []), run.get("accuracy", []), strict=True)
    }


def target(runs: Runs, size: int) -> float | None:
    """By validation rows, from the longest search run with a constant rate."""
    of_constant = [
        run
        for run in runs
        if (run["size"], run["schedule"], run["seed"])
        == (size, "constant", SEARCH_SEED)
    ]
    longest = max(of_constant, key=lambda run: run["epochs"], default=None)
    return target_of(longest["accuracy"]) if longest else None


def seeds_of(runs: Runs, size: int) -> list[int]:
    """Seeds that were tested at this size with all schedules that any seed has."""
    tested = {
        (run["schedule"], run["seed"])
        for run in runs
        if run["size"] == size and run["seed"] != SEARCH_SEED and "at" in run
    }
    names = {name for name, _ in tested}
    seeds = sorted({seed for _, seed in tested})
    return [s for s in seeds if all((name, s) in tested for name in names)]


def print_search(runs: Runs, size: int) -> None:
    """Validation accuracy at every rate that was tried, and what was found."""
    tried = [r for r in runs if r["size"] == size and r["seed"] == SEARCH_SEED]
    rates = sorted({run["rate"] for run in tried})
    rows: dict[str, list[str]] = {}
    for name in TUNED:
        mine = [run for run in tried if run["schedule"] == name]
        at = min((run["epochs"] for run in mine), default=0)
        best = {r["rate"]: r["accuracy"][-1] for r in mine if r["epochs"] == at}
        rows[name] = [f"{best[rate]:.1f}" if rate in best else "" for rate in rates]
    print_table(f"validation accuracy, %, {size} images", rates, rows)
    found = [r for r in runs if r["size"] == size and r["schedule"] == "range test"]
    rows = {
        str(one["seed"]): [f"{one['rate']:.3g}", f"{one['steps']}"] for one in found
    }
    print_table(f"range test, {size} images, seed", ["suggestion", "updates"], rows)


def print_size(runs: Runs, size: int) -> None:
    """Accuracy by epochs, and epochs to the target and one percent beside it.

    Of a run without an end the same epochs count as for the others, which have not
    been trained for every length; the last column counts all its rounds.
    """
    seeds = seeds_of(runs, size)
    by_name = {
        name: [accuracies(runs, size, name, seed) for seed in seeds] for name in ALL
    }
    by_name = {name: each for name, each in by_name.items() if each and all(each)}
    if not by_name:
        return
    columns = shared_epochs(by_name)
    rows = {
        name: [mean_and_error([one[n] for one in each]) for n in columns]
        for name, each in by_name.items()
    }
    heads = [in_epochs(n) for n in columns]
    print_table(f"test accuracy, %, {size} images", heads, rows)
    middle = target(runs, size)
    if middle is None:
        return
    targets = [middle - 1, middle, middle + 1]
    rows = {}
    for name, each in by_name.items():
        shared = [{n: one[n] for n in columns} for one in each]
        cells = [[epochs_to_target(one, t) for one in shared] for t in targets]
        cells.append([epochs_to_target(one, middle) for one in each])
        rows[name] = [with_failures(epochs, max(columns)) for epochs in cells]
    heads = [*(f"{t:.1f}%" for t in targets), f"{middle:.1f}%, any round"]
    print_table(f"epochs to test accuracy, {size} images", heads, rows)


def shared_epochs(by_name: Mapping[str, Sequence[Mapping[int, float]]]) -> list[int]:
    """Epochs at which all schedules and seeds have been tested."""
    each = [set(one) for ones in by_name.values() for one in ones]
    return sorted(set.intersection(*each))


def print_gains(runs: Runs, sizes: Sequence[int]) -> None:
    """How far 1cycle is ahead of the others, by seed, for each size."""
    for size in sizes:
        seeds = seeds_of(runs, size)
        found = {n: [accuracies(runs, size, n, s) for s in seeds] for n in ALL}
        found = {name: each for name, each in found.items() if each and all(each)}
        if "1cycle" not in found:
            continue
        columns = shared_epochs(found)
        rows = {
            name: [
                mean_and_error(
                    [
                        one[n] - other[n]
                        for one, other in zip(found["1cycle"], each, strict=True)
                    ],
                    sign="+",
                )
                for n in columns
            ]
            for name, each in found.items()
            if name != "1cycle"
        }
        heads = [in_epochs(n) for n in columns]
        print_table(f"1cycle minus, points, {size} images", heads, rows)


def print_tables(runs: Runs, sizes: Sequence[int]) -> None:
    """All that there is of these sizes."""
    for size in sizes:
        print_search(runs, size)
        print_size(runs, size)
    print_gains(runs, sizes)


def draw(runs: Runs, sizes: Sequence[int], path: Path) -> None:
    """Accuracy against epochs, a panel for each size."""
    figure = Figure((5 * len(sizes) + 0.5, 4.2), layout="constrained")
    for place, size in enumerate(sizes):
        ax = figure.add_subplot(1, len(sizes), place + 1)
        seeds = seeds_of(runs, size)
        for i, name in enumerate(ALL):
            each = [accuracies(runs, size, name, seed) for seed in seeds]
            if not each or not all(each):
                continue
            epochs = sorted(set.intersection(*(set(one) for one in each)))
            values = np.array([[one[n] for one in each] for n in epochs])
            style: dict[str, Any] = {"ls": "--"} if name in ENDLESS else {}
            style |= {"lw": 2.2} if name.startswith("1cycle") else {}
            ax.errorbar(
                np.array(epochs) * 1.012 ** (i - 4),
                values.mean(axis=1),
                [standard_error(row) for row in values],
                marker="o",
                ms=3,
                label=name,
                **style,
            )
            ax.set_xscale("log")
            ax.set_xticks(epochs, [f"{n}" for n in epochs])
            ax.minorticks_off()
        aim = target(runs, size)
        if aim is not None:
            ax.axhline(aim, color="0.5", lw=1, ls=":")
            ax.set_ylim(aim - 14, aim + 4)
        ax.set(title=f"{size} images", xlabel="epochs", ylabel="test accuracy, %")
    figure.axes[0].legend(fontsize=8, loc="lower right")
    figure.savefig(path, dpi=110)
