"""Glorot and Bengio, 2010, table 1: five ways to train a deep network, on a budget.

A network of five hidden layers (four for the sigmoid, the paper's best depth) learns
Shapeset-3x2 (glorot_shapeset.py), every image seen once, or MNIST, with plain SGD on
batches of ten: mean negative log-likelihood, biases 0, weights U[-r, r].

- Softsign, Tanh, Sigmoid: r = 1 / sqrt(fan-in), the paper's "standard" initialization
- Softsign N, Tanh N: r = sqrt(6 / (fan-in + fan-out)), its "normalized" one

The learning rate of a method is the one of `RATES` with the lowest validation error in
a shorter run with a seed of its own. Every `PER_EPOCH` updates the validation error is
taken; the test error is that of the weights that were best there. With seed 0 every
layer is watched as well, for glorot_figures.py. The paper's networks are 1,000 units
wide and chosen after 5 million updates; ours are 100 wide and see 10,000.

    KERAS_BACKEND=jax python benchmarks/glorot_2010.py --results FILE
    KERAS_BACKEND=jax python benchmarks/glorot_2010.py --results FILE --data mnist.npz

With `--results`, runs are added to a file and those already there are left out;
`--table` prints what a file holds.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
from glorot_data import Data, mnist, shapeset
from glorot_networks import LOSS, METHODS

from keras_deeptools.callbacks import GradientMonitor
from keras_deeptools.diagnosis import signal_propagation

PER_EPOCH, WATCHED = 1000, 300
RATES = (0.1, 0.03, 0.01)
SEARCH_SEED = 1000
AT_ONCE = 1 if keras.backend.backend() == "torch" else 50
"""Updates in one call of the compiled function; torch takes one only."""


class LayerRecord(keras.callbacks.Callback):
    """After every epoch: mean, deviation, percentiles and gradients of each layer."""

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        super().__init__()
        self.x, self.y, self.rows = x, y, []

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """The state that training starts from, too."""
        if epoch == 0:
            self.on_epoch_end(0)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Measures on test images."""
        found = signal_propagation(self.model, self.x, self.y, LOSS)
        self.rows.append(
            [
                rounded(
                    each.mean,
                    each.std,
                    *np.percentile(each.activations, (1, 99)),
                    each.gradient_std,
                )
                for each in found.layers[:-1]
            ]
        )


def rounded(*values: float) -> list[float]:
    """Four digits."""
    return [float(f"{value:.4g}") for value in values]


def weight_gradients(
    monitor: GradientMonitor, model: keras.Model, epochs: int
) -> list[list[float]]:
    """Root mean square of every hidden kernel's gradient, a row for each epoch."""
    kernels = {layer.kernel.path: layer.kernel for layer in model.layers[:-1]}
    columns = [i for i, path in enumerate(monitor.variables) if path in kernels]
    sizes = [np.prod(kernels[monitor.variables[i]].shape) for i in columns]
    rms = monitor.history["norm"][:, columns] / np.sqrt(sizes)
    return [rounded(*part.mean(0)) for part in np.array_split(rms, epochs)]


class Trainer:
    """Trains networks of one method, compiled once.

    Args:
        data: `Data`.
        name: Str, the method.
        chosen: The options of the command line.
    """

    def __init__(self, data: Data, name: str, chosen: argparse.Namespace) -> None:
        self.data, self.name, self.chosen = data, name, chosen
        self.model = self._network()
        self.model.compile(
            keras.optimizers.SGD(),
            LOSS,
            metrics=["accuracy"],
            steps_per_execution=min(AT_ONCE, chosen.per_epoch),
        )

    def _network(self) -> keras.Model:
        num_inputs = self.data.test[0].shape[1]
        method = METHODS[self.name]
        return method.network(num_inputs, self.data.num_classes, self.chosen.width)

    def run(self, rate: float, seed: int, updates: int) -> dict[str, Any]:
        """Trains from new weights; returns the record."""
        data, model, per_epoch = self.data, self.model, self.chosen.per_epoch
        keras.utils.set_random_seed(seed)
        model.set_weights(self._network().get_weights())
        model.optimizer.learning_rate = rate
        epochs = updates // per_epoch
        best = keras.callbacks.EarlyStopping(
            "val_accuracy", patience=epochs, mode="max", restore_best_weights=True
        )
        callbacks: list = [best]
        if watched := seed == 0:
            layers = LayerRecord(*(part[:WATCHED] for part in data.test))
            gradients = GradientMonitor(
                "norm", every=min(100, per_epoch), on_problem="ignore"
            )
            callbacks += [layers, gradients]
        start = time.process_time()
        history = model.fit(
            data.batches(seed),
            steps_per_epoch=per_epoch,
            epochs=epochs,
            validation_data=data.validation,
            validation_batch_size=1000,
            shuffle=False,
            callbacks=callbacks,
            verbose=0,
        )
        run = {"data": data.name, "method": self.name, "rate": rate, "seed": seed}
        run |= {"width": self.chosen.width, "updates": updates}
        run["seconds"] = round(time.process_time() - start)
        accuracies = history.history["val_accuracy"]
        run["validation"] = [round(100 * (1 - value), 2) for value in accuracies]
        if seed != SEARCH_SEED:
            accuracy = model.evaluate(*data.test, batch_size=1000, verbose=0)[1]
            run["test"] = round(100 * (1 - accuracy), 2)
        if watched:
            run["layers"] = layers.rows
            run["weight_gradients"] = weight_gradients(gradients, model, epochs)
        return run


class Runs:
    """The runs that a file holds, and those that are added."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        exists = path is not None and path.exists()
        self.all: list[dict[str, Any]] = json.loads(path.read_text()) if exists else []

    def of(self, **wanted: Any) -> list[dict[str, Any]]:
        """Those with these values."""
        items = wanted.items()
        return [run for run in self.all if all(run[k] == v for k, v in items)]

    def add(self, run: dict[str, Any]) -> None:
        """Keep a run, one line for each."""
        self.all.append(run)
        shown = {k: v for k, v in run.items() if not isinstance(v, list)}
        print(json.dumps(shown | {"best": min(run["validation"])}), flush=True)
        self.save()

    def save(self) -> None:
        """Write the file, if there is one."""
        if self.path:
            lines = ",\n".join(json.dumps(each) for each in self.all)
            self.path.write_text(f"[\n{lines}\n]\n")

    def rate(self, data: str, method: str) -> float:
        """The rate that did best in the search."""
        found = self.of(data=data, method=method, seed=SEARCH_SEED)
        return min(found, key=lambda run: min(run["validation"]))["rate"]

    def search_table(self, data: str) -> None:
        """Lowest validation error for every rate."""
        search = self.of(data=data, seed=SEARCH_SEED)
        rates = sorted({run["rate"] for run in search}, reverse=True)
        print(f"| {data}, validation error, % | {' | '.join(map(str, rates))} |")
        print(f"|---|{'---|' * len(rates)}")
        for name in dict.fromkeys(run["method"] for run in search):
            best = {
                run["rate"]: min(run["validation"])
                for run in search
                if run["method"] == name
            }
            cells = [f"{best[rate]:.2f}" if rate in best else "" for rate in rates]
            print(f"| {name} | {' | '.join(cells)} |")
        print()

    def table(self) -> None:
        """Errors by rate, and test errors beside the paper's."""
        for data in dict.fromkeys(run["data"] for run in self.all):
            self.search_table(data)
        print("| data | method | rate | test error, % | the paper | runs |")
        print("|---|---|---|---|---|---|")
        for data in dict.fromkeys(run["data"] for run in self.all):
            for name, method in METHODS.items():
                if not self.of(data=data, method=name):
                    continue
                runs = self.of(data=data, method=name, rate=self.rate(data, name))
                errors = np.array([run["test"] for run in runs if "test" in run])
                if not errors.size:
                    continue
                cell = f"{errors.mean():.2f}"
                if errors.size > 1:
                    cell += f" ± {errors.std(ddof=1) / np.sqrt(errors.size):.2f}"
                print(
                    f"| {data} | {name} | {self.rate(data, name):g} "
                    f"| {cell} | {method.paper[data]:.2f} | {errors.size} |"
                )


def parser_of(
    documentation: str, rates: tuple[float, ...], updates: int, search: int
) -> argparse.ArgumentParser:
    """The options of a script that trains the methods.

    Args:
        documentation: Str, that of the script; its first line is shown.
        rates: Floats, to choose from.
        updates: Int, of a run.
        search: Int, updates of a run with one of the rates.
    """
    parser = argparse.ArgumentParser(description=documentation.splitlines()[0])
    parser.add_argument("--data", type=Path, help="mnist.npz; none: Shapeset-3x2")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--rates", nargs="+", type=float, default=rates)
    parser.add_argument("--width", type=int, default=100)
    parser.add_argument("--updates", type=int, default=updates)
    parser.add_argument("--search", type=int, default=search, help="updates per rate")
    parser.add_argument("--results", type=Path, help="file to add runs to")
    parser.add_argument("--table", type=Path, help="file to print only")
    return parser


def data_of(chosen: argparse.Namespace) -> Data:
    """What the options ask for; prints what it is trained with."""
    print(f"{keras.backend.backend()}, Keras {keras.version()}", flush=True)
    return mnist(chosen.data) if chosen.data else shapeset()


def main() -> None:
    """Choose rates, run the seeds and print the table."""
    parser = parser_of(__doc__, RATES, updates=10_000, search=3_000)
    parser.add_argument("--per-epoch", type=int, default=PER_EPOCH)
    chosen = parser.parse_args()
    runs = Runs(chosen.table or chosen.results)
    if not chosen.table:
        data = data_of(chosen)
        trainers = {name: Trainer(data, name, chosen) for name in chosen.methods}
        plan = [(n, r, SEARCH_SEED) for n in chosen.methods for r in chosen.rates]
        plan += [(n, None, seed) for seed in chosen.seeds for n in chosen.methods]
        for name, given, seed in plan:
            rate = given or runs.rate(data.name, name)
            if not runs.of(data=data.name, method=name, rate=rate, seed=seed):
                updates = chosen.search if given else chosen.updates
                runs.add(trainers[name].run(rate, seed, updates))
    runs.table()


if __name__ == "__main__":
    main()
