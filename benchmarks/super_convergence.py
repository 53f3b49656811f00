"""Super-convergence, after Smith and Topin, 2017: fewest epochs to an accuracy.

A small ResNet learns parts of Fashion-MNIST by SGD with momentum, in batches of 128,
with the schedules of super_convergence_schedules.py. A seed draws images, weights and
the order of every epoch, the same for all schedules.

- The rate: from 0.1 up and down a grid until both neighbours are worse, by 4,000
  held-out images after `TUNED_AT` rounds, for each schedule and size, once, with a seed
  of its own. A round is an epoch of the largest size.
- The target: what a constant rate holds in a long run with that seed, by the same
  held-out images: the mean of its last third, down to half a percent.
- Then for each seed, on 4,000 test images: a training for every length of `ROUNDS`
  where the schedule has an end; one long run, tested every round, where it has none.

    KERAS_BACKEND=torch python benchmarks/super_convergence.py --runs FILE

With `--runs`, every run is kept at once and those that the file holds are left out;
`--tables` only prints them, and `--picture` draws them.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
from super_convergence_nets import WIDTHS, Batches, Images, drawn, images, resnet
from super_convergence_schedules import ENDLESS, FOUND, MOMENTUM, TUNED, callback
from super_convergence_tables import SEARCH_SEED, draw, print_tables, target

from keras_deeptools.callbacks import find_learning_rate

SIZES, BATCH = (6000, 1500), 128
ROUNDS, TUNED_AT = (1, 2, 3, 5, 8, 12), 5
RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
FIRST_RATE = 0.1
NUM_MONITORED = 1000


def rounds_of(size: int) -> int:
    """Epochs in a round: a quarter of the images take half the updates, not a quarter.

    With as many epochs the small size would be compared within a hundred updates.
    """
    return max(1, round((SIZES[0] / size) ** 0.5))


def tuned(score: Callable[[float], float]) -> float:
    """The rate that is better than both neighbours on the grid, or at its end."""
    scores: dict[float, float] = {}
    place = RATES.index(FIRST_RATE)
    while True:
        for rate in RATES[max(place - 1, 0) : place + 2]:
            if rate not in scores:
                scores[rate] = score(rate)
        best = max(scores, key=lambda rate: scores[rate])
        if best == RATES[place]:
            return best
        place = RATES.index(best)


class Accuracies(keras.callbacks.Callback):
    """Accuracy on held-out images after the epochs `at`."""

    def __init__(self, x: Any, y: Any, at: Sequence[int]) -> None:
        super().__init__()
        self.x, self.y, self.at = x, y, set(at)
        self.found: list[float] = []

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Evaluates if it is time to."""
        if epoch + 1 in self.at:
            result = self.model.evaluate(self.x, self.y, batch_size=500, verbose=0)
            self.found.append(round(100 * result[1], 2))


class Trainer:
    """Trains the network from a seed; what `Study` asks.

    Args:
        data: `Images`.
        batch: Int, rows in a batch.
        widths: Of the network.
    """

    def __init__(
        self, data: Images, batch: int = BATCH, widths: tuple[int, ...] = WIDTHS
    ) -> None:
        self.data, self.batch, self.widths = data, batch, widths

    def start(self, size: int, seed: int, rate: float) -> tuple[keras.Model, Batches]:
        """New weights, and the batches of the seed."""
        keras.utils.set_random_seed(seed)
        model = resnet(self.widths)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(rate, MOMENTUM), loss, metrics=["accuracy"])
        return model, Batches(drawn(self.data.train, size, seed), self.batch, seed)

    def train(
        self, size: int, name: str, rate: float, seed: int, epochs: int, at: list[int]
    ) -> dict[str, Any]:
        """Accuracies of one training; those of the search are of validation rows."""
        model, batches = self.start(size, seed, rate)
        searched = seed == SEARCH_SEED
        part = self.data.validation if searched else self.data.test
        accuracies = Accuracies(part.x, part.y, at)
        in_round = rounds_of(size) * len(batches)
        follow = callback(name, rate, epochs * len(batches), in_round)
        watched = self.data.validation.first(NUM_MONITORED)
        model.fit(
            batches,
            epochs=epochs,
            validation_data=tuple(watched) if name == "performance" else None,
            validation_batch_size=500,
            shuffle=False,
            callbacks=[follow, accuracies],
            verbose=0,
        )
        return {"accuracy": accuracies.found}

    def range_test(self, size: int, seed: int) -> dict[str, Any]:
        """The rate that `find_learning_rate` suggests, with all its defaults."""
        model, batches = self.start(size, seed, FIRST_RATE)
        result = find_learning_rate(model, batches, verbose=0)
        return {"rate": float(result), "steps": len(result.losses)}


class Study:
    """The runs that there are, and those that are made where they are missing.

    Args:
        trainer: `Trainer`.
        path: File to keep them in, or None.
    """

    def __init__(self, trainer: Any, path: Path | None) -> None:
        self.trainer, self.path = trainer, path
        self.runs: list[dict[str, Any]] = []
        if path is not None and path.exists():
            self.runs = json.loads(path.read_text("utf-8"))

    def once(self, about: dict[str, Any], make: Callable[[], dict]) -> dict[str, Any]:
        """The run that is described so, made if there is none."""
        for run in self.runs:
            if all(run[key] == value for key, value in about.items() if key in run):
                return run
        start = time.process_time()
        run = about | make()
        run["seconds"] = round(time.process_time() - start, 1)
        run["backend"] = keras.backend.backend()
        self.runs.append(run)
        print(run, flush=True)
        if self.path:
            lines = ",\n".join(json.dumps(each) for each in self.runs)
            part = self.path.with_name(self.path.name + ".part")
            part.write_text(f"[\n{lines}\n]\n", "utf-8")
            os.replace(part, self.path)
        return run

    def training(
        self, size: int, name: str, rate: float, seed: int, rounds: int, every: bool
    ) -> dict[str, Any]:
        """A training of so many rounds, tested at its end or every round."""
        in_round = rounds_of(size)
        epochs = rounds * in_round
        at = list(range(in_round, epochs + 1, in_round)) if every else [epochs]
        about = {"size": size, "schedule": name, "rate": rate, "seed": seed}
        about |= {"epochs": epochs, "at": at}
        return self.once(
            about, lambda: self.trainer.train(size, name, rate, seed, epochs, at)
        )

    def rate(self, size: int, name: str) -> float:
        """The tuned one."""

        def score(rate: float) -> float:
            run = self.training(size, name, rate, SEARCH_SEED, TUNED_AT, every=False)
            return run["accuracy"][-1]

        return tuned(score)

    def tested(self, size: int, name: str, seed: int) -> None:
        """Every length of training with one schedule."""
        if name == FOUND:
            about = {"size": size, "schedule": "range test", "seed": seed}
            make = self.trainer.range_test
            rate = self.once(about, lambda: make(size, seed))["rate"]
        else:
            rate = self.rate(size, name)
        if name in ENDLESS:
            self.training(size, name, rate, seed, max(ROUNDS), every=True)
            return
        for rounds in ROUNDS:
            self.training(size, name, rate, seed, rounds, every=False)

    def run(
        self, sizes: Sequence[int], names: Sequence[str], seeds: Sequence[int]
    ) -> None:
        """Rates and targets first, then all seeds."""
        for size in sizes:
            for name in [name for name in names if name != FOUND]:
                rate = self.rate(size, name)
                if name == "constant":
                    longest = max(ROUNDS)
                    self.training(size, name, rate, SEARCH_SEED, longest, every=True)
                    print(f"{size} images: target {target(self.runs, size)}%")
        for seed in seeds:
            for size in sizes:
                for name in names:
                    self.tested(size, name, seed)


def main() -> None:
    """Run what is missing and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", type=Path, help="fashion_mnist.npz; none: Keras loads it"
    )
    parser.add_argument("--runs", type=Path, help="file of runs, read and added to")
    parser.add_argument("--tables", action="store_true", help="only print the file")
    parser.add_argument("--picture", type=Path, help="where to draw")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--sizes", nargs="+", type=int, default=list(SIZES))
    names = (*TUNED, FOUND)
    parser.add_argument("--schedules", nargs="+", choices=names, default=list(names))
    options = parser.parse_args()
    data = None if options.tables else images(options.data)
    study = Study(data and Trainer(data), options.runs)
    if not options.tables:
        study.run(options.sizes, options.schedules, options.seeds)
    print_tables(study.runs, options.sizes)
    if options.picture:
        draw(study.runs, options.sizes, options.picture)


if __name__ == "__main__":
    main()
