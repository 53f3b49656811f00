"""Tables of what `search.py` has run, as Markdown."""

from typing import Any

import numpy as np

PAIRS = (
    ("ours", "by hand"),
    ("family", "by hand"),
    ("ours, Hyperband", "by hand, Hyperband"),
    ("family, Hyperband", "by hand, Hyperband"),
    ("family", "by hand, as many"),
    ("family, Hyperband", "by hand, as many, Hyperband"),
)


def spread(values: list[float], form: str) -> str:
    """Mean and, of several, standard error."""
    mean = format(float(np.mean(values)), form)
    if len(values) == 1:
        return mean
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    return f"{mean} ± {format(error, form.lstrip('+'))}"


def tables(runs: dict[str, Any], names: list[str], arms: list[str], seeds: int) -> None:
    """Prints Markdown of the seeds that all arms have run which have run at all."""
    for name in names:
        found = {
            arm: [
                runs[key]
                for seed in range(seeds)
                if (key := f"{name}/{arm}/{seed}") in runs
            ]
            for arm in arms
        }
        found = {arm: results for arm, results in found.items() if results}
        if not found:
            continue
        done = min(map(len, found.values()))
        found = {arm: results[:done] for arm, results in found.items()}
        print(f"\n### {name} ({done} seeds)\n")
        print(
            "| | epochs | validation loss | validation accuracy | test loss "
            "| test accuracy |\n|---|---|---|---|---|---|"
        )
        for arm, results in found.items():
            columns = {
                key: [float(one[key]) for one in results]
                for key in (
                    "epochs",
                    "val_loss",
                    "val_accuracy",
                    "test_loss",
                    "test_accuracy",
                )
            }
            cells = [f"{np.mean(columns.pop('epochs')):.0f}"]
            for key, values in columns.items():
                percent = [100 * v for v in values]
                accurate = key.endswith("accuracy")
                cells.append(
                    spread(percent, ".2f") if accurate else spread(values, ".4f")
                )
            print(f"| {arm} | {' | '.join(cells)} |")
        paired(found)
        zero_knobs(found)


def paired(found: dict[str, list[dict]]) -> None:
    """Prints differences of each seed between this package's way and the other."""
    print(
        "\n| minus | validation loss, each seed | mean | test loss | "
        "test accuracy, points |\n|---|---|---|---|---|"
    )
    for mine, theirs in PAIRS:
        if not {mine, theirs} <= set(found):
            continue
        pairs = list(zip(found[mine], found[theirs], strict=True))
        val, loss, accuracy = (
            [float(one[key]) - float(other[key]) for one, other in pairs]
            for key in ("val_loss", "test_loss", "test_accuracy")
        )
        each = ", ".join(f"{d:+.4f}" for d in val)
        points = spread([100 * d for d in accuracy], "+.2f")
        print(
            f"| {mine} minus {theirs} | {each} | {spread(val, '+.4f')} | "
            f"{spread(loss, '+.4f')} | {points} |"
        )


def zero_knobs(found: dict[str, list[dict]]) -> None:
    """Prints what one fit reaches of the best of 20 trials, and what it costs."""
    print(
        "\n| no search against | test accuracy, ratio | least of the seeds | "
        "steps, ratio |\n|---|---|---|---|"
    )
    for arm in ("by hand", "by hand, as many", "ours", "family"):
        if not {arm, "no search"} <= set(found):
            continue
        pairs = list(zip(found["no search"], found[arm], strict=True))
        ratio, cost = (
            [100 * float(one[key]) / float(other[key]) for one, other in pairs]
            for key in ("test_accuracy", "steps")
        )
        print(
            f"| {arm}, 20 trials | {spread(ratio, '.2f')}% | {min(ratio):.2f}% | "
            f"{np.mean(cost):.1f}% |"
        )


def overall(runs: dict[str, Any], names: list[str], seeds: int) -> None:
    """Prints one line for each pair, over all sets and seeds that both have run.

    Losses are counted, not averaged: on few validation rows the lowest is close to 0.
    """
    print("\n### All sets\n")
    print("| pair | runs | lower validation loss in | lower test loss in |", end="")
    print(" test accuracy, points |\n|---|---|---|---|---|")
    for mine, theirs in PAIRS:
        both = [
            (f"{name}/{mine}/{seed}", f"{name}/{theirs}/{seed}")
            for name in names
            for seed in range(seeds)
        ]
        pairs = [
            (runs[one], runs[other]) for one, other in both if {one, other} <= set(runs)
        ]
        if len(pairs) < 2:
            continue
        cells = [f"{mine} minus {theirs}", str(len(pairs))]
        for loss in ("val_loss", "test_loss"):
            cells.append(str(sum(one[loss] < other[loss] for one, other in pairs)))
        key = "test_accuracy"
        points = [100 * (float(one[key]) - float(other[key])) for one, other in pairs]
        print(f"| {' | '.join([*cells, spread(points, '+.2f')])} |")
