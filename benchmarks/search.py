"""Searches of the same budget, by hand and with this package, and one fit without any.

    KERAS_BACKEND=torch python benchmarks/search.py --runs runs.json --data fashion.npz

Each data set is split anew by each seed into rows to train, to validate and to test on.
The network is a perceptron of several layers whose width, depth and dropout rate are
searched, by the loss on the validation rows. Every search may train the same number of
epochs, 20 times those of one whole fit:

- by hand: KerasTuner with a space as users write it, of width, depth, dropout,
  optimizer (Adam, SGD with momentum, RMSprop) and one rate; RandomSearch, 20 trials
- by hand, Hyperband: the same space, Hyperband as KerasTuner has it
- by hand, as many: with about as many hyperparameters as the family below, as a user
  lists Keras' names: activation, initializer, normalization, dropout, optimizer, rate,
  weight decay, and whether the rate falls along a cosine; RandomSearch, 20 trials
- by hand, as many, Hyperband: the same space, Hyperband as KerasTuner has it
- ours: `DeepHyperModel` on the same width, depth and dropout, with its optimizers, each
  with ranges of its own, and 1cycle on or off; RandomSearch, 20 trials
- ours, Hyperband: the same, where a promoted model goes on in its 1cycle
- family: `mlp_family`, which searches activation and normalization, too, in
  `DeepHyperModel` with optimizer, 1cycle in every trial, and averages of weights on or
  off; RandomSearch, 20 trials
- family, Hyperband: the same
- no search: the network in the middle of the space, AdamW, `find_learning_rate` and
  `OneCycleScheduler` with defaults, the weights after the last epoch of one fit

Hyperband is given two iterations and ended when its epochs are spent. The model with
the lowest validation loss of any epoch counts, with its loss and accuracy on the test
rows. Runs are kept in a file and not repeated. Where `--data` is missing (an npz with
x_train, y_train, x_test, y_test), scikit-learn's data sets alone are searched.
"""

import argparse
import contextlib
import gc
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
from kept_runs import read_runs, write_runs
from search_data import SIZES, search_on, split
from search_spaces import compiled, model_of, network
from search_tables import overall, tables

from keras_deeptools import find_learning_rate
from keras_deeptools.callbacks import OneCycleScheduler

NUM_TRIALS = 20


class BudgetSpentError(keras_tuner.errors.FatalError):
    """Ends a search."""


class Scores(keras.callbacks.Callback):
    """Notes the best epoch of a search, and ends it when its budget is spent.

    Args:
        data: Dict of arrays.
        budget: Int, epochs.
    """

    def __init__(self, data: dict[str, np.ndarray], budget: int) -> None:
        super().__init__()
        self.data = data
        self.budget = budget
        self.result: dict[str, Any] = {"val_loss": float("inf"), "epochs": 0}

    def __deepcopy__(self, memo: dict) -> "Scores":
        return self  # KerasTuner copies callbacks for each trial: this one counts all.

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Counts the epoch."""
        self.result["epochs"] += 1
        loss = float((logs or {})["val_loss"])
        if loss < self.result["val_loss"]:
            self.result |= {"val_loss": loss, "val_accuracy": logs["val_accuracy"]}
            self.result |= tested(self.model, self.data)
        if self.result["epochs"] >= self.budget:
            raise BudgetSpentError("The epochs are spent.")


def tested(model: keras.Model, data: dict[str, np.ndarray]) -> dict[str, float]:
    """Loss and accuracy on the test rows."""
    outputs = model(data["x_test"], training=False)
    probabilities = np.array(keras.ops.convert_to_numpy(outputs))
    y = data["y_test"]
    likelihood = probabilities[np.arange(len(y)), y]
    return {
        "test_loss": float(-np.log(np.maximum(likelihood, 1e-7)).mean()),
        "test_accuracy": float((probabilities.argmax(axis=1) == y).mean()),
    }


def searched(arm: str, data: dict, seed: int, size: int, epochs: int) -> dict[str, Any]:
    """The best epoch of a search."""
    model = model_of(arm, data, size, epochs)
    scores = Scores(data, NUM_TRIALS * epochs)
    with tempfile.TemporaryDirectory() as folder:
        shared = {
            "seed": seed,
            "directory": folder,
            "max_consecutive_failed_trials": 1000,
        }
        if arm.endswith("Hyperband"):
            tuner = keras_tuner.Hyperband(
                model, "val_loss", epochs, hyperband_iterations=2, **shared
            )
        else:
            tuner = keras_tuner.RandomSearch(model, "val_loss", NUM_TRIALS, **shared)
        with contextlib.suppress(BudgetSpentError), warnings.catch_warnings():
            # Of optimizers whose state KerasTuner alone does not take along.
            warnings.filterwarnings("ignore", message="Skipping variable loading")
            search_on(tuner, data, size, epochs, scores)
    best = tuner.oracle.get_best_trials()
    chosen = best[0].hyperparameters.values if best else {}
    steps = scores.result["epochs"] * -(-len(data["x_train"]) // size)
    return (
        scores.result
        | {"steps": steps, "trials": len(tuner.oracle.trials)}
        | {"values": {k: v for k, v in chosen.items() if not k.startswith("tuner/")}}
    )


def without_search(data: dict, size: int, epochs: int) -> dict[str, Any]:
    """One fit, its rate from the range test."""
    model = network(keras_tuner.HyperParameters(), data, 0.2)
    compiled(model, keras.optimizers.AdamW())
    train = (data["x_train"], data["y_train"])
    found = find_learning_rate(model, *train, batch_size=size, verbose=0)
    scheduler = OneCycleScheduler(found)
    model.fit(*train, batch_size=size, epochs=epochs, callbacks=[scheduler], verbose=0)
    held = model.evaluate(data["x_val"], data["y_val"], verbose=0, return_dict=True)
    steps = found.batches_drawn + epochs * -(-len(train[0]) // size)
    return {
        "val_loss": held["loss"],
        "val_accuracy": held["accuracy"],
        **tested(model, data),
        "epochs": epochs,
        "steps": steps,
        "trials": 1,
        "values": {"rate": float(found)},
    }


ARMS = (
    "by hand",
    "by hand, Hyperband",
    "by hand, as many",
    "by hand, as many, Hyperband",
    "ours",
    "ours, Hyperband",
    "family",
    "family, Hyperband",
    "no search",
)


def run(arm: str, name: str, options: argparse.Namespace, seed: int) -> dict[str, Any]:
    """One search, or one fit."""
    _, _, size, epochs = SIZES[name]
    epochs = options.epochs or epochs
    data = split(name, options.data, seed)
    keras.utils.set_random_seed(seed)
    # KerasTuner collects before each trial, which takes long after many imports.
    gc.freeze()
    start = time.process_time()
    if arm == "no search":
        result = without_search(data, size, epochs)
    else:
        result = searched(arm, data, seed, size, epochs)
    return result | {"seconds": round(time.process_time() - start, 2)}


def main() -> None:
    """Runs what is missing and prints all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, required=True, help="JSON file of runs")
    parser.add_argument("--data", help="npz of Fashion-MNIST")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, help="of one fit, in place of each set's")
    parser.add_argument("--sets", nargs="+", default=list(SIZES), choices=SIZES)
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=ARMS)
    parser.add_argument("--tables", action="store_true", help="print, run nothing")
    options = parser.parse_args()
    is_there = options.data or options.tables
    names = [name for name in options.sets if name != "fashion" or is_there]
    runs = read_runs(options.runs)
    order = [
        (seed, name, arm)
        for seed in range(options.seeds)
        for name in names
        for arm in options.arms
    ]
    for seed, name, arm in order:
        key = f"{name}/{arm}/{seed}"
        if key in runs or options.tables:
            continue
        runs[key] = run(arm, name, options, seed)
        write_runs(options.runs, runs, indent=1)
        line = {k: runs[key][k] for k in ("val_loss", "test_accuracy", "seconds")}
        print(key, {k: round(float(v), 4) for k, v in line.items()}, flush=True)
    print(f"\nKeras {keras.version()}, {keras.backend.backend()}")
    tables(runs, names, options.arms, options.seeds)
    overall(runs, names, options.seeds)


if __name__ == "__main__":
    main()
