"""Deep thin nets from several initial weights, after Mishkin and Matas, 2016.

Multilayer perceptrons of 10, 20 and 40 hidden layers of 64 units learn scikit-learn's
digits and, with `--data`, 4,096 images of MNIST, for a fixed number of updates, with
the paper's activations: tanh, ReLU, VLReLU (slope 1/3 below 0) and maxout of two. They
start from Glorot's or He's weights, from orthonormal ones, from LSUV (orthonormal, then
scaled on one batch), or have batch normalization before each activation (with He's
weights). SGD with momentum 0.9; the rate is the one of four with the best validation
accuracy (lower loss where equal), for each cell and seed. A seed draws the rows and
the initial weights.

    KERAS_BACKEND=jax python benchmarks/lsuv_depth.py --runs runs.json --data mnist.npz

The file of data holds x_train, y_train, x_test, y_test. Runs that the file of runs
holds are not made again; `--tables` only prints them, and `--picture` draws them.
"""

import argparse
import time
from collections import Counter
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any

import keras
import numpy as np
from compiled_training import compiled, drawn_batches, judged
from kept_runs import KeptRuns
from markdown_table import mean_and_error, print_table, standard_error
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

from keras_deeptools.initializers import lsuv

layers = keras.layers
ACTIVATIONS = ("tanh", "ReLU", "VLReLU", "maxout")
STARTS = {
    "Glorot": "glorot_uniform",
    "He": "he_normal",
    "orthonormal": "orthogonal",
    "LSUV": "orthogonal",
    "BatchNorm": "he_normal",
}
DEPTHS, WIDTH = (10, 20, 40), 64
RATES, MOMENTUM = (3e-4, 1e-3, 1e-2, 1e-1), 0.9
SCALED_ON = 256
"""Rows that LSUV measures on."""
SIZES = {"digits": (1056, 352, 352), "MNIST": (4096, 2000, 2000)}
"""Rows to train on, to choose by and to test on."""
UPDATES, BATCH = {"digits": 600, "MNIST": 800}, 32
Part = tuple[np.ndarray, np.ndarray]


def hidden(
    x: keras.KerasTensor, activation: str, start: str, width: int
) -> keras.KerasTensor:
    """One hidden layer: sums, their normalization if any, the activation."""

    def sums() -> keras.KerasTensor:
        y = layers.Dense(width, kernel_initializer=STARTS[start])(x)
        if start != "BatchNorm":
            return y
        # Keras' momentum of 0.99 would lag behind in so few updates.
        return layers.BatchNormalization(momentum=0.9)(y)

    if activation == "maxout":
        return layers.Maximum()([sums(), sums()])
    if activation == "VLReLU":
        return layers.LeakyReLU(1 / 3)(sums())
    return layers.Activation(activation.lower())(sums())


def net(
    activation: str, start: str, depth: int, num_features: int, width: int
) -> keras.Model:
    """Hidden layers and a softmax, which starts from Glorot's weights everywhere."""
    inputs = keras.Input((num_features,))
    x = inputs
    for _ in range(depth):
        x = hidden(x, activation, start, width)
    return keras.Model(inputs, layers.Dense(10, "softmax")(x))


def split(data: str, seed: int, file: Path | None = None) -> list[Part]:
    """Rows to train on, to choose by and to test on; those to train on have mean 0."""
    x, y = pool(data, file)
    order = np.random.default_rng(seed).permutation(len(x))
    ends = np.cumsum(SIZES[data])
    rows = np.split(order[: ends[-1]], ends[:-1])
    mean, std = x[rows[0]].mean(), x[rows[0]].std()
    return [(((x[each] - mean) / std).astype("float32"), y[each]) for each in rows]


@cache
def pool(data: str, file: Path | None) -> Part:
    """All rows that a seed draws from."""
    if data == "digits":
        return load_digits(return_X_y=True)
    if file is None:
        raise ValueError("pool: `file` must be the npz of MNIST. Received: None.")
    with np.load(file) as arrays:
        x = np.concatenate([arrays["x_train"], arrays["x_test"]])
        y = np.concatenate([arrays["y_train"], arrays["y_test"]])
    return x.reshape(len(x), -1), y


class Cell:
    """Nets of one shape, compiled once and trained from several weights.

    Args:
        activation: Str, one of `ACTIVATIONS`.
        is_normalized: Bool, whether there is batch normalization.
        depth: Int, hidden layers.
        data: Str, a key of `SIZES`.
        options: Namespace with `width`, `updates` and `data`, the file of MNIST.
    """

    def __init__(
        self,
        activation: str,
        is_normalized: bool,
        depth: int,
        data: str,
        options: argparse.Namespace,
    ) -> None:
        self.activation, self.data, self.file = activation, data, options.data
        self.updates = options.updates or UPDATES[data]
        num_features = split(data, 0, self.file)[0][0].shape[1]
        self.shape = (depth, num_features, options.width)
        model = net(activation, "BatchNorm" if is_normalized else "He", *self.shape)
        loss = keras.losses.sparse_categorical_crossentropy
        self.train = compiled(model, loss, MOMENTUM)

    def run(self, start: str, seed: int) -> dict[str, Any]:
        """Trains at all rates.

        Returns:
            Dict of lists over rates: `validation` and `test`, accuracies in percent,
            and `loss` (of validation).
        """
        begin = time.process_time()
        (x, y), held, test = split(self.data, seed, self.file)
        batches = drawn_batches(seed, len(x), self.updates, BATCH)
        model = started(self.activation, start, seed, x, *self.shape)
        weights = [variable.value for variable in model.trainable_variables]
        others = [variable.value for variable in model.non_trainable_variables]
        judges = np.concatenate([held[0], test[0]])
        found: dict[str, Any] = {"validation": [], "loss": [], "test": []}
        for rate in RATES:
            p = np.asarray(self.train(weights, others, rate, x, y, batches, judges))
            score, loss = judged(p[: len(held[1])], held[1])
            found["validation"].append(round(float(score), 2))
            found["loss"].append(round(float(loss), 4))
            score, _ = judged(p[len(held[1]) :], test[1])
            found["test"].append(round(float(score), 2))
        found |= {"updates": self.updates, "width": self.shape[2]}
        return found | {"seconds": round(time.process_time() - begin, 1)}


def started(
    activation: str,
    start: str,
    seed: int,
    x: np.ndarray,
    depth: int,
    num_features: int,
    width: int,
) -> keras.Model:
    """A net with the initial weights of a seed; LSUV measures on some rows of `x`."""
    keras.utils.set_random_seed(seed)
    model = net(activation, start, depth, num_features, width)
    if start == "LSUV":
        lsuv(model, x[:SCALED_ON], orthogonal=True, seed=seed, verbose=0)
    return model


def chosen(run: dict[str, Any]) -> int:
    """The place of the rate with the best validation, by loss where equal."""
    return int(np.lexsort((run["loss"], -np.array(run["validation"])))[0])


def key(data: str, activation: str, depth: int, start: str, seed: int) -> str:
    """The name of a run in the file."""
    return f"{data}/{activation}/{depth}/{start}/seed {seed}"


def accuracies(
    runs: dict[str, Any], data: str, activation: str, depth: int, start: str
) -> list[float]:
    """Test accuracies of a cell, one for each seed."""
    begin = key(data, activation, depth, start, 0)[:-1]
    mine = [run for name, run in runs.items() if name.startswith(begin)]
    return [run["test"][chosen(run)] for run in mine]


def known(runs: dict[str, Any]) -> tuple[list[str], list[str], list[int]]:
    """Data, activations and depths that there are runs of."""
    parts = [name.split("/") for name in runs]
    data, activations, depths = (
        list(dict.fromkeys(p[i] for p in parts)) for i in range(3)
    )
    return data, activations, sorted(int(depth) for depth in depths)


def print_tables(runs: dict[str, Any]) -> None:
    """Accuracies, and how often each rate was chosen."""
    data, activations, depths = known(runs)
    for name, activation in product(data, activations):
        rows = {}
        for start in STARTS:
            found = [accuracies(runs, name, activation, d, start) for d in depths]
            if any(found):
                rows[start] = [mean_and_error(each) if each else "" for each in found]
        print_table(f"{name}, {activation}", [f"{d} layers" for d in depths], rows)
    rows = {}
    for start in STARTS:
        mine = [chosen(run) for name, run in runs.items() if f"/{start}/" in name]
        counts = Counter(mine)
        rows[start] = [str(counts[place]) for place in range(len(RATES))]
    print_table("how often chosen", [f"rate {rate:g}" for rate in RATES], rows)


def draw(runs: dict[str, Any], path: Path) -> None:
    """Accuracy against depth, a row for each data set, a panel for each activation."""
    data, activations, depths = known(runs)
    size = (2.6 * len(activations) + 1, 2.7 * len(data))
    figure = Figure(size, layout="constrained")
    axes = figure.subplots(len(data), len(activations), squeeze=False, sharey="row")
    for (i, name), (j, activation) in product(enumerate(data), enumerate(activations)):
        ax = axes[i, j]
        for start in STARTS:
            found = {d: accuracies(runs, name, activation, d, start) for d in depths}
            found = {d: values for d, values in found.items() if values}
            means = [np.mean(values) for values in found.values()]
            errors = [standard_error(values) for values in found.values()]
            style = {"lw": 2.4} if start == "LSUV" else {"ls": "--"}
            ax.errorbar(list(found), means, errors, marker=".", label=start, **style)
        ax.set_xscale("log", base=2)
        ax.set_xticks(depths, [str(depth) for depth in depths])
        ax.set(title=f"{name}, {activation}", xlabel="hidden layers")
    for ax in axes[:, 0]:
        ax.set_ylabel("accuracy, %")
    axes[0, 0].legend(fontsize=7)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Make the runs that are missing and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="mnist.npz; none: digits only")
    parser.add_argument("--runs", type=Path, required=True, help="JSON file of runs")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--activations", nargs="+", default=list(ACTIVATIONS), choices=ACTIVATIONS
    )
    parser.add_argument("--starts", nargs="+", default=list(STARTS), choices=STARTS)
    parser.add_argument("--depths", nargs="+", type=int, default=list(DEPTHS))
    parser.add_argument("--width", type=int, default=WIDTH)
    parser.add_argument("--updates", type=int, help="of all data, not as in UPDATES")
    parser.add_argument("--tables", action="store_true", help="print, run nothing")
    parser.add_argument("--picture", type=Path, help="where to draw")
    options = parser.parse_args()
    runs = KeptRuns(options.runs, only_read=options.tables)
    data = ("digits", "MNIST") if options.data else ("digits",)
    shapes = product(data, options.activations, options.depths, (False, True))
    for name, activation, depth, is_normalized in () if options.tables else shapes:
        starts = [s for s in options.starts if (s == "BatchNorm") == is_normalized]
        missing = [
            (start, seed)
            for start, seed in product(starts, range(options.seeds))
            if key(name, activation, depth, start, seed) not in runs.all
        ]
        if missing:
            cell = Cell(activation, is_normalized, depth, name, options)
        for start, seed in missing:
            make = partial(cell.run, start, seed)
            runs.get(key(name, activation, depth, start, seed), make)
    print(f"\nKeras {keras.version()}, {keras.backend.backend()}")
    print_tables(runs.all)
    seconds = sum(run["seconds"] for run in runs.all.values())
    print(f"\n{len(runs.all)} runs, {seconds / 60:.0f} minutes of processors")
    if options.picture:
        draw(runs.all, options.picture)


if __name__ == "__main__":
    main()
