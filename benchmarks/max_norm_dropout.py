"""Max-norm, L2 and dropout on MNIST, after Srivastava et al., 2014, section 6.5.

Nets of three hidden ReLU layers learn 2,000 or 10,000 images with no regularizer, with
L2, max-norm or dropout, and with dropout and one of the two. Dropout is the paper's:
half of the hidden units and a fifth of the pixels. Training is SGD on a 1cycle, whose
peak rate is chosen with the strength of the regularizer by 10,000 other images: first
the rate, at the middle strength, then the strength. What is chosen is trained from
further seeds, and 10,000 test images judge. A seed draws the images to learn from and
the initial weights, the same for all methods. 50,000 images (`--sizes 50000`) take
rate and strength from 10,000.

    python benchmarks/max_norm_dropout.py --data mnist.npz --runs runs.json

The file of data holds x_train, y_train, x_test, y_test. Runs that the file of runs
holds are not made again; `--tables` only prints them, and `--picture` draws them.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
from kept_runs import KeptRuns
from markdown_table import mean_and_error, print_table, standard_error
from matplotlib.figure import Figure

from keras_deeptools.callbacks import MaxNormEnforcer, OneCycleScheduler

layers = keras.layers
METHODS = {
    "none": (False, "none"),
    "L2": (False, "L2"),
    "max-norm": (False, "max-norm"),
    "dropout": (True, "none"),
    "dropout + L2": (True, "L2"),
    "dropout + max-norm": (True, "max-norm"),
}
"""Whether there is dropout, and what limits the weights."""
STRENGTHS = {"none": (0.0,), "L2": (1e-5, 1e-4, 1e-3), "max-norm": (1.0, 2.0, 4.0)}
RATES = (0.03, 0.1, 0.3, 1.0)
EPOCHS = {2_000: 50, 10_000: 20, 50_000: 12}
SEARCHED = {2_000: 2_000, 10_000: 10_000, 50_000: 10_000}
WIDTH, NUM_HIDDEN, BATCH = 256, 3, 128
VALIDATION, SEARCH_SEED = 10_000, 0


def net(
    method: str, strength: float, seed: int, num_features: int, width: int
) -> keras.Model:
    """A net with the initial weights of a seed."""
    is_dropout, limit = METHODS[method]
    stack: list[keras.Layer] = [keras.Input((num_features,))]
    if is_dropout:
        stack.append(layers.Dropout(0.2, seed=seed))
    for place in range(NUM_HIDDEN):
        start = keras.initializers.HeNormal(seed=100 * seed + place)
        penalty = keras.regularizers.L2(strength) if limit == "L2" else None
        stack.append(
            layers.Dense(
                width,
                "relu",
                kernel_initializer=start,
                kernel_regularizer=penalty,
                name=f"hidden_{place}",
            )
        )
        if is_dropout:
            stack.append(layers.Dropout(0.5, seed=100 * seed + place))
    start = keras.initializers.GlorotUniform(seed=100 * seed + NUM_HIDDEN)
    head = layers.Dense(10, "softmax", kernel_initializer=start, name="head")
    return keras.Sequential([*stack, head])


def parts(
    data: dict[str, np.ndarray], num_rows: int, seed: int
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Rows to train on, drawn by a seed, those to choose by, and those to test on."""
    x = {name: pixels(data[f"x_{name}"]) for name in ("train", "test")}
    held = min(VALIDATION, len(x["train"]) // 6)
    pool = len(x["train"]) - held
    rows = np.random.default_rng(seed).permutation(pool)[:num_rows]
    return {
        "train": (x["train"][rows], data["y_train"][rows]),
        "validation": (x["train"][pool:], data["y_train"][pool:]),
        "test": (x["test"], data["y_test"]),
    }


def pixels(images: np.ndarray) -> np.ndarray:
    """Rows of numbers in [0, 1]."""
    return images.reshape(len(images), -1) / np.float32(255)


def error(model: keras.Model, x: np.ndarray, y: np.ndarray) -> float:
    """Wrong answers in percent; a net that gives no numbers has all wrong."""
    p = model.predict(x, batch_size=1000, verbose=0)
    right = (p.argmax(axis=1) == y) & np.isfinite(p).all(axis=1)
    return round(100 * (1 - float(right.mean())), 3)


def trained(
    method: str,
    rate: float,
    strength: float,
    split: dict[str, tuple[np.ndarray, np.ndarray]],
    seed: int,
    epochs: int,
    width: int,
    judges: tuple[str, ...],
) -> dict[str, Any]:
    """Trains one net and finds its errors on the parts that judge."""
    start = time.process_time()
    keras.utils.set_random_seed(seed)
    x, y = split["train"]
    model = net(method, strength, seed, x.shape[1], width)
    optimizer = keras.optimizers.SGD(rate, momentum=0.9)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    callbacks: list[keras.callbacks.Callback] = [OneCycleScheduler(rate)]
    if METHODS[method][1] == "max-norm":
        callbacks.append(MaxNormEnforcer(strength, layers="hidden_*"))
    model.fit(x, y, BATCH, epochs, callbacks=callbacks, verbose=0)
    found: dict[str, Any] = {"rate": rate, "strength": strength}
    found |= {name: error(model, *split[name]) for name in judges}
    return found | {"seconds": round(time.process_time() - start, 1)}


class Study:
    """All runs of one number of rows.

    Args:
        data: Dict of arrays, or None where runs are only read.
        num_rows: Int, rows to train on.
        runs: `KeptRuns`.
        options: Namespace with `epochs`, `width` and `seeds`.
    """

    def __init__(
        self,
        data: dict[str, np.ndarray] | None,
        num_rows: int,
        runs: KeptRuns,
        options: argparse.Namespace,
    ) -> None:
        self.data, self.num_rows, self.runs = data, num_rows, runs
        self.width, self.seeds = options.width, options.seeds
        self.epochs = options.epochs

    def one(
        self, num_rows: int, method: str, rate: float, strength: float, seed: int
    ) -> dict | None:
        """A run, of the search (which does not see test rows) or of a further seed."""
        is_search = seed == SEARCH_SEED
        key = f"{num_rows}/{method}/seed {seed}"
        if is_search:
            key += f"/{rate}/{strength}"
        judges = ("validation",) if is_search else ("train", "validation", "test")

        def make() -> dict[str, Any]:
            split = parts(self.data or {}, num_rows, seed)
            epochs = self.epochs or EPOCHS[num_rows]
            settings = (split, seed, epochs, self.width, judges)
            about = {"backend": keras.backend.backend(), "width": self.width}
            about["epochs"] = epochs
            return trained(method, rate, strength, *settings) | about

        return self.runs.get(key, make)

    def search(self, method: str) -> list[dict]:
        """Runs at all rates, then at the other strengths of the best of them."""
        num_rows = SEARCHED.get(self.num_rows, self.num_rows)
        strengths = STRENGTHS[METHODS[method][1]]
        middle = strengths[len(strengths) // 2]
        pairs = [(rate, middle) for rate in RATES]
        found = [self.one(num_rows, method, *pair, SEARCH_SEED) for pair in pairs]
        known = [run for run in found if run]
        if known:
            rate = best(known)["rate"]
            pairs = [(rate, each) for each in strengths if each != middle]
            found = [self.one(num_rows, method, *pair, SEARCH_SEED) for pair in pairs]
            known += [run for run in found if run]
        return known

    def finals(self, method: str) -> list[dict]:
        """Runs of what the search chose, from further seeds."""
        search = self.search(method)
        if not search:
            return []
        rate, strength = best(search)["rate"], best(search)["strength"]
        found = [
            self.one(self.num_rows, method, rate, strength, 1 + seed)
            for seed in range(self.seeds)
        ]
        return [run for run in found if run]


def best(search: list[dict]) -> dict:
    """The run with the fewest errors in validation, the first where equal."""
    return min(search, key=lambda run: run["validation"])


def print_search(study: Study) -> None:
    """Validation errors at the middle strength for each rate, and at the best rate."""
    rows = {}
    for method in METHODS:
        known = study.search(method)
        middles = [run for run in known if run["strength"] == known[0]["strength"]]
        texts = {run["rate"]: f"{run['validation']:.2f}" for run in middles}
        others = [run for run in known if run not in middles]
        shown = sorted(
            [*others, best(middles)] if others else [], key=lambda r: r["strength"]
        )
        strengths = ", ".join(
            f"{r['strength']:g}: {r['validation']:.2f}" for r in shown
        )
        rows[method] = [*(texts.get(rate, "") for rate in RATES), strengths]
    columns = [*(f"rate {rate:g}" for rate in RATES), "by strength, at the best rate"]
    print_table(f"{study.num_rows:,} rows, validation error, %", columns, rows)


def print_errors(study: Study) -> None:
    """Errors of what was chosen, and differences of the same seeds."""
    finals = {method: study.finals(method) for method in METHODS}
    columns = ["rate", "strength", "training error", "test error"]
    rows = {}
    for method, runs in finals.items():
        if not runs:
            continue
        test = [run["test"] for run in runs]
        train = mean_and_error([run["train"] for run in runs], 2)
        strength = f"{runs[0]['strength']:g}" if runs[0]["strength"] else ""
        rows[method] = [f"{runs[0]['rate']:g}", strength, train]
        rows[method].append(mean_and_error(test, 2))
        for base in ("none", "dropout"):
            pairs = list(zip(test, [run["test"] for run in finals[base]], strict=False))
            differences = [a - b for a, b in pairs]
            is_shown = differences and method != base
            rows[method].append(mean_and_error(differences, 2, "+") if is_shown else "")
    print_table(
        f"{study.num_rows:,} rows", [*columns, "minus none", "minus dropout"], rows
    )


def draw(studies: list[Study], path: Path) -> None:
    """Test errors, and validation errors against the rate, a row for each size."""
    figure = Figure((9.5, 3.2 * len(studies)), layout="constrained")
    axes = figure.subplots(len(studies), 2, squeeze=False)
    for (left, right), study in zip(axes, studies, strict=True):
        for place, method in enumerate(METHODS):
            finals, search = study.finals(method), study.search(method)
            color = f"C{place}"
            if finals:
                test = [run["test"] for run in finals]
                left.errorbar(
                    np.mean(test), -place, xerr=standard_error(test), fmt="o", c=color
                )
            known = search[: len(RATES)]
            errors = [run["validation"] for run in known]
            style = "-" if METHODS[method][0] else "--"
            rates = [run["rate"] for run in known]
            right.plot(rates, errors, style, marker=".", c=color, label=method)
        left.set_yticks([-place for place in range(len(METHODS))], list(METHODS))
        left.set(xlabel="test error, %", title=f"{study.num_rows:,} rows")
        right.set(xscale="log", yscale="log")
        right.set(xlabel="peak learning rate", ylabel="validation error, %")
        right.legend(fontsize=7)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Make the runs that are missing and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="mnist.npz")
    parser.add_argument("--runs", type=Path, required=True, help="JSON file of runs")
    parser.add_argument("--sizes", nargs="+", type=int, default=[2_000, 10_000])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="of all sizes, not as in EPOCHS")
    parser.add_argument("--width", type=int, default=WIDTH)
    parser.add_argument("--tables", action="store_true", help="print, run nothing")
    parser.add_argument("--picture", type=Path, help="where to draw")
    options = parser.parse_args()
    if not options.tables and not options.data:
        parser.error("--data is needed unless --tables is given")
    data = None if options.tables else dict(np.load(options.data))
    runs = KeptRuns(options.runs, only_read=options.tables)
    studies = [Study(data, size, runs, options) for size in options.sizes]
    for study in studies:
        for method in METHODS:
            study.finals(method)
    print(f"\nKeras {keras.version()}, {keras.backend.backend()}")
    for study in studies:
        print_search(study)
        print_errors(study)
    seconds = sum(run["seconds"] for run in runs.all.values())
    print(f"\n{len(runs.all)} runs, {seconds / 60:.0f} minutes of processors")
    if options.picture:
        draw(studies, options.picture)


if __name__ == "__main__":
    main()
