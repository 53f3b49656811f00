"""What each choice of a search is worth: the best of twenty random trials with it.

    KERAS_BACKEND=torch python benchmarks/search_choices.py --runs runs.json \
        --data fashion_mnist.npz

`mlp_family` in `DeepHyperModel`, with its parts for optimizer, 1cycle and averages of
weights and more activations than it searches by default, is tried at random on splits
of digits and Fashion-MNIST that `search.py` does not use: the defaults of the spaces
were chosen by these runs. A trial's score is its lowest validation loss, over that of
its split's median trial. For each choice the script prints the score that the best of
twenty trials with it has on average, with a standard error from resampling the trials.
"""

import argparse
import functools
import gc
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
from kept_runs import KeptRuns
from markdown_table import print_table
from search_data import SIZES, search_on, split
from search_spaces import family

SPLITS = range(100, 104)
SETS = ("digits", "fashion")
DRAWS = 2000


class Curves(keras.callbacks.Callback):
    """Notes the validation loss of each epoch, a list for each trial."""

    def __init__(self) -> None:
        super().__init__()
        self.curves: list[list[float]] = []

    def __deepcopy__(self, memo: dict) -> "Curves":
        return self  # KerasTuner copies callbacks for each trial: this one sees all.

    def on_train_begin(self, logs: dict | None = None) -> None:
        """A trial begins."""
        self.curves.append([])

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Notes the loss."""
        self.curves[-1].append(round(float((logs or {})["val_loss"]), 5))


def trials(name: str, path: str | None, seed: int, count: int) -> dict[str, Any]:
    """Random trials on one split: what each chose, and its curve."""
    _, _, size, epochs = SIZES[name]
    data = split(name, path, seed)
    keras.utils.set_random_seed(seed)
    gc.freeze()
    hypermodel = family(data, epochs, (), ("relu", "elu", "silu"))
    curves = Curves()
    with tempfile.TemporaryDirectory() as folder:
        tuner = keras_tuner.RandomSearch(
            hypermodel,
            "val_loss",
            count,
            seed=seed,
            directory=folder,
            max_consecutive_failed_trials=1000,
        )
        search_on(tuner, data, size, epochs, curves)
    made = tuner.oracle.trials.values()
    pairs = zip(made, curves.curves, strict=True)
    rows = [{"values": one.hyperparameters.values, "curve": c} for one, c in pairs]
    return {"trials": [row for row in rows if row["curve"]]}


def choices(trial: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What a trial has of what the tables compare."""
    values = trial["values"]
    yield "all", ""
    for key in ("activation", "normalization", "dropout"):
        yield key, str(values[f"mlp/{key}"])
    yield "depth", str(values["mlp/depth"])
    yield "width", "up to 96" if values["mlp/width"] <= 96 else "over 96"
    yield "optimizer", values["optimizer/name"]
    yield "1cycle", "on" if values["one_cycle"] else "off"
    yield "averages of weights", "on" if values["weight_averaging"] else "off"


def best_of_twenty(scores: np.ndarray) -> tuple[float, float]:
    """Mean of the best of twenty trials, and its standard error.

    Args:
        scores: Array, of the trials with one choice.
    """
    random = np.random.default_rng(0)
    resampled = np.sort(random.choice(scores, (DRAWS, len(scores))), axis=1)
    count = len(scores)
    # The best of twenty draws is the one of rank i with this probability.
    ends = (1 - np.arange(count + 1) / count) ** 20
    weights = ends[:-1] - ends[1:]
    return float(np.sort(scores) @ weights), float((resampled @ weights).std(ddof=1))


def table(runs: list[dict[str, Any]]) -> None:
    """Prints the table of one data set.

    Args:
        runs: Of each split, what `trials` returned.
    """
    scores: dict[tuple[str, str], list[float]] = {}
    for run in runs:
        lowest = [min(trial["curve"]) for trial in run["trials"]]
        for trial, loss in zip(run["trials"], lowest, strict=True):
            for choice in choices(trial):
                scores.setdefault(choice, []).append(loss / float(np.median(lowest)))
    rows = {}
    for (key, value), found in sorted(scores.items()):
        mean, error = best_of_twenty(np.array(found))
        median, best = f"{np.median(found):.2f}", f"{mean:.3f} ± {error:.3f}"
        rows[f"{key} {value}".strip()] = [str(len(found)), median, best]
    print_table("", ["trials", "median trial", "best of twenty"], rows)


def main() -> None:
    """Runs what is missing and prints a table for each set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, required=True, help="JSON file of runs")
    parser.add_argument("--data", help="npz of Fashion-MNIST")
    parser.add_argument("--trials", type=int, default=30, help="on each split")
    parser.add_argument("--splits", type=int, default=len(SPLITS))
    parser.add_argument("--tables", action="store_true", help="print, run nothing")
    options = parser.parse_args()
    kept = KeptRuns(options.runs, only_read=options.tables)
    for name in SETS:
        if name == "fashion" and not (options.data or options.tables):
            continue
        found = []
        for seed in SPLITS[: options.splits]:
            arguments = (name, options.data, seed, options.trials)
            run = kept.get(f"{name}/{seed}", functools.partial(trials, *arguments))
            if run is not None:
                found.append(run)
        if found:
            print(f"\n### {name} ({len(found)} splits)")
            table(found)


if __name__ == "__main__":
    main()
