"""What ending hopeless trials saves, and what it costs; draws one such search.

    KERAS_BACKEND=torch python benchmarks/hopeless_trials.py [--seeds 5] [--path FILE]

For each seed one random search of multilayer perceptrons on scikit-learn's digits
runs twice, with and without `HopelessTrialStopper`. The trials have the same
hyperparameters, as random search does not look at scores, but not the same initial
weights. Prints epochs and seconds of both, and the best validation accuracy, as mean
and standard deviation over seeds.
"""

import argparse
import collections
import tempfile
import time

import keras
import keras_tuner
import numpy as np
from sklearn.datasets import load_digits

from keras_deeptools.tuning import (
    DeepHyperModel,
    HopelessTrialStopper,
    SearchReport,
    mlp_family,
    objective,
    search_report,
)

COLORS = {"": "tab:blue", "below median": "tab:orange", "no learning": "tab:red"}


def digits(seed: int) -> tuple[tuple, tuple]:
    """400 rows to train on and 600 to validate on."""
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(x))
    x, y = x[order].astype("float32"), y[order]
    return (x[:400], y[:400]), (x[400:1000], y[400:1000])


def search(
    seed: int, trials: int, epochs: int, stops: bool
) -> tuple[SearchReport, float, float]:
    """Report, seconds and best validation accuracy of one search."""
    train, valid = digits(seed)
    keras.utils.set_random_seed(seed)
    family = mlp_family(64, 10, adapt_to=train[0])
    parts = ["optimizer", "one_cycle", "clipping"]
    with tempfile.TemporaryDirectory() as folder:
        tuner = keras_tuner.RandomSearch(
            DeepHyperModel(family, max_epochs=epochs, parts=parts),
            objective("val_accuracy"),
            max_trials=trials,
            max_consecutive_failed_trials=trials,
            seed=seed + 1,
            directory=folder,
        )
        options = {"validation_data": valid, "epochs": epochs, "batch_size": 32}
        callbacks = [HopelessTrialStopper()] if stops else []
        began = time.perf_counter()
        tuner.search(*train, callbacks=callbacks, verbose=0, **options)
        seconds = time.perf_counter() - began
        best = tuner.oracle.get_best_trials()[0].score
        return search_report(tuner), seconds, best


def draw(report: SearchReport, path: str) -> None:
    """The validation accuracy of every trial, and where those that ended early did."""
    from matplotlib.figure import Figure

    figure = Figure((7, 4), layout="constrained")
    axes = figure.subplots()
    told = set()
    for record in report.trials:
        values = record.history.get("val_accuracy", [])
        color = COLORS.get(record.finding, "tab:purple")
        name = record.finding or "trained to the end"
        label = None if name in told else name
        told.add(name)
        epochs = range(1, len(values) + 1)
        axes.plot(epochs, values, color=color, alpha=0.7, label=label)
        if record.status != "completed":
            axes.plot(len(values), values[-1], "x", color=color)
    axes.set(xlabel="epoch", ylabel="validation accuracy")
    planned = sum(record.planned_epochs for record in report.trials)
    trained = sum(record.epochs for record in report.trials)
    axes.set_title(
        f"{len(report.trials)} trials, {trained} of {planned} epochs trained"
    )
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measures, prints and draws."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--path", default="docs/images/search-trials.png")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()
    found: collections.Counter[str] = collections.Counter()
    rows = []
    for seed in range(options.seeds):
        plain, ending = (
            search(seed, options.trials, options.epochs, stops)
            for stops in (False, True)
        )
        found.update(record.finding for record in ending[0].trials if record.finding)
        if seed == 0:
            draw(ending[0], options.path)
        told = ending[0].seconds_saved
        epochs = [sum(one.epochs for one in arm[0].trials) for arm in (plain, ending)]
        rows.append([*epochs, plain[1], ending[1], told, plain[2], ending[2]])
        print(seed, *(f"{value:.3f}" for value in rows[-1]), flush=True)
    names = (
        "epochs, all trials to the end",
        "epochs, hopeless trials ended",
        "seconds, all trials to the end",
        "seconds, hopeless trials ended",
        "seconds saved, as told",
        "best accuracy, all trials to the end",
        "best accuracy, hopeless trials ended",
    )
    for name, values in zip(names, np.transpose(rows), strict=True):
        print(f"{name:<38} {values.mean():9.3f} +- {values.std():.3f}")
    print(dict(found))


if __name__ == "__main__":
    main()
