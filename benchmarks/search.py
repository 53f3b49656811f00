"""Searches of the same budget, by hand and with this package, and one fit without any.

    KERAS_BACKEND=torch python benchmarks/search.py --runs runs.json --data fashion.npz

Each data set is split anew by each seed into rows to train, to validate and to test on.
The network is a perceptron of several layers whose width, depth and dropout rate are
searched, by the loss on the validation rows. Every search may train the same number of
epochs, 20 times those of one whole fit:

- by hand: KerasTuner with a space as users write it, of width, depth, dropout,
  optimizer (Adam, SGD with momentum, RMSprop) and one rate; RandomSearch, 20 trials
- by hand, Hyperband: the same space, Hyperband as KerasTuner has it
- ours: `DeepHyperModel` on the same width, depth and dropout, with its optimizers, each
  with ranges of its own, and 1cycle on or off; RandomSearch, 20 trials
- ours, Hyperband: the same, where a promoted model goes on in its 1cycle
- family: `mlp_space`, which searches activation and normalization, too, in
  `DeepHyperModel` with optimizer, 1cycle and averages of weights; RandomSearch, 20
  trials
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
import json
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_wine

from keras_deeptools import find_learning_rate
from keras_deeptools.callbacks import OneCycleScheduler
from keras_deeptools.tuning import DeepHyperModel, IntRange, mlp_space

NUM_TRIALS = 20
LOADERS: dict[str, Callable] = {
    "digits": load_digits,
    "fashion": lambda **_: None,
    "breast cancer": load_breast_cancer,
    "wine": load_wine,
}
# Rows to train and to validate on, rows of a batch, epochs of a whole fit.
SIZES = {
    "digits": (800, 400, 32, 10),
    "fashion": (1000, 500, 32, 10),
    "breast cancer": (240, 160, 16, 20),
    "wine": (72, 53, 8, 20),
}


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


def split(name: str, path: str | None, seed: int) -> dict[str, np.ndarray]:
    """Rows to train, validate and test on, standardized by the first."""
    num_train, num_val, *_ = SIZES[name]
    generator = np.random.default_rng(seed)
    if name == "fashion":
        with np.load(path) as file:
            rows = generator.permutation(len(file["x_train"]))[: num_train + num_val]
            held = generator.permutation(len(file["x_test"]))[:2000]
            x = np.concatenate([file["x_train"][rows], file["x_test"][held]])
            y = np.concatenate([file["y_train"][rows], file["y_test"][held]])
    else:
        x, y = LOADERS[name](return_X_y=True)
        order = generator.permutation(len(x))
        x, y = x[order], y[order]
    x = x.reshape(len(x), -1).astype("float64")
    train = x[:num_train]
    images = name in ("digits", "fashion")
    scale = train.std() if images else train.std(axis=0) + 1e-9
    x = ((x - train.mean(axis=0)) / scale).astype("float32")
    ends = [num_train, num_train + num_val]
    parts = zip(
        ("train", "val", "test"), np.split(x, ends), np.split(y, ends), strict=True
    )
    data = {}
    for part, inputs, targets in parts:
        data |= {f"x_{part}": inputs, f"y_{part}": targets.astype("int64")}
    return data


def network(hp: Any, data: dict[str, np.ndarray], rate: float) -> keras.Model:
    """The perceptron, not compiled."""
    width = hp.Int("width", 32, 256, sampling="log", default=96)
    hidden = []
    for _ in range(hp.Int("depth", 1, 3, default=2)):
        hidden += [keras.layers.Dense(width, "relu"), keras.layers.Dropout(rate)]
    outputs = keras.layers.Dense(int(data["y_train"].max()) + 1, "softmax")
    inputs = keras.Input(data["x_train"].shape[1:])
    return keras.Sequential([inputs, *hidden, outputs])


def compiled(model: keras.Model, optimizer: Any) -> keras.Model:
    """The model with loss and metrics."""
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def by_hand(data: dict[str, np.ndarray]) -> Callable[[Any], keras.Model]:
    """What a user of KerasTuner alone writes."""

    def build(hp: Any) -> keras.Model:
        model = network(hp, data, hp.Float("dropout", 0.05, 0.5, default=0.2))
        name = hp.Choice("optimizer", ["adam", "sgd", "rmsprop"])
        config = {"learning_rate": hp.Float("rate", 1e-4, 1e-1, sampling="log")}
        if name == "sgd":
            config |= {"momentum": 0.9, "nesterov": True}
        optimizer = keras.optimizers.get({"class_name": name, "config": config})
        return compiled(model, optimizer)

    return build


def ours(data: dict[str, np.ndarray], epochs: int) -> DeepHyperModel:
    """The same network with how it is trained from this package."""
    return DeepHyperModel(
        lambda hp: compiled(network(hp, data, 0.2), "adam"),
        max_epochs=epochs,
        parts=["optimizer", "one_cycle", "dropout_rate"],
    )


def family(data: dict[str, np.ndarray], epochs: int) -> DeepHyperModel:
    """A ready family of networks, of the same widths and depths."""
    build = mlp_space(
        data["x_train"].shape[1],
        int(data["y_train"].max()) + 1,
        depth=IntRange(1, 3),
        width=IntRange(32, 256, log=True),
    )
    parts = ["optimizer", "one_cycle", "weight_averaging"]
    return DeepHyperModel(build, max_epochs=epochs, parts=parts)


def model_of(arm: str, data: dict[str, np.ndarray], epochs: int) -> Any:
    """What a tuner searches."""
    if arm.startswith("ours"):
        return ours(data, epochs)
    return family(data, epochs) if arm.startswith("family") else by_hand(data)


def searched(arm: str, data: dict, seed: int, size: int, epochs: int) -> dict[str, Any]:
    """The best epoch of a search."""
    model = model_of(arm, data, epochs)
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
            tuner.search(
                data["x_train"],
                data["y_train"],
                batch_size=size,
                epochs=epochs,
                validation_data=(data["x_val"], data["y_val"]),
                validation_batch_size=1024,
                callbacks=[scores],
                verbose=0,
            )
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


def kept(file: Path, runs: dict[str, Any]) -> None:
    """Writes the file as a whole or not at all."""
    aside = file.with_suffix(".writing")
    aside.write_text(json.dumps(runs, indent=1), "utf-8")
    os.replace(aside, file)


def spread(values: list[float], form: str) -> str:
    """Mean and, of several, standard error."""
    mean = format(float(np.mean(values)), form)
    if len(values) == 1:
        return mean
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    return f"{mean} ± {format(error, form.lstrip('+'))}"


def tables(runs: dict[str, Any], names: list[str], arms: list[str], seeds: int) -> None:
    """Prints Markdown of the seeds of which all arms have run."""
    for name in names:
        found = {
            arm: [
                runs[key]
                for seed in range(seeds)
                if (key := f"{name}/{arm}/{seed}") in runs
            ]
            for arm in arms
        }
        done = min(map(len, found.values()))
        if not done:
            continue
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
    for mine, theirs in (
        ("ours", "by hand"),
        ("family", "by hand"),
        ("ours, Hyperband", "by hand, Hyperband"),
        ("family, Hyperband", "by hand, Hyperband"),
    ):
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
    for arm in ("by hand", "ours", "family"):
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
    names = [name for name in options.sets if name != "fashion" or options.data]
    runs = json.loads(options.runs.read_text("utf-8")) if options.runs.exists() else {}
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
        kept(options.runs, runs)
        line = {k: runs[key][k] for k in ("val_loss", "test_accuracy", "seconds")}
        print(key, {k: round(float(v), 4) for k, v in line.items()}, flush=True)
    print(f"\nKeras {keras.version()}, {keras.backend.backend()}")
    tables(runs, names, options.arms, options.seeds)


if __name__ == "__main__":
    main()
