"""What a suggested learning rate costs in accuracy, against a tuned one.

Eight small tasks, three optimizers and two schedules, see learning_rate_tasks.py. For
each of them and each seed:

- trainings over a grid of peaks, in half decades
- a range test with the defaults of `find_learning_rate`, from which its suggestion and
  those of the published rules (reimplemented in range_test_noise.py) are read
- a race, with the defaults of `find_learning_rate(..., method="race")`
- trainings with the peaks that the two ways of `find_learning_rate` suggest for the
  schedule: "ramp" and "race"

The tuned peak of a task is the one of the grid with the best mean over the seeds, by
validation samples. The regret is the difference of the mean accuracies on all held-out
samples, validation and test: that of the tuned peak, less that of the suggestions. What
the other rules suggest is not trained with: its accuracy is interpolated between two
peaks of the grid, in the logarithm of the peak, and outside of the grid it is that of
its end. How `find_learning_rate` finds a peak was chosen on the first seed, on four of
the tasks at first and then on the others too, as the first choice did not hold there:
seeds are held out, tasks are not.

    KERAS_BACKEND=torch OMP_NUM_THREADS=1 python benchmarks/learning_rate_regret.py \
        --data FOLDER --runs FILE

`--data` is the folder with `mnist.npz` and `fashion_mnist.npz`. Every run is kept at
once, and those that the file holds are left out; `--tables` only prints them.
"""

import argparse
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from kept_runs import KeptRuns
from learning_rate_tasks import PEAKS, TASKS, Task
from markdown_table import print_table
from range_test_noise import fastai_minimum, fastai_slide, fastai_valley, lightning

from keras_deeptools import find_learning_rate
from keras_deeptools.callbacks import RangeTest
from keras_deeptools.callbacks._learning_rate_finder.race import Heat, winner_of
from keras_deeptools.statistics import suggest_learning_rate

SCHEDULES = ("one_cycle", "cosine")
SEEDS = (0, 1, 2)
Cell = tuple[str, str, str]
"""Names of a task, an optimizer and a schedule."""


def steepest_change(rates: np.ndarray, losses: np.ndarray) -> float:
    """Where the loss falls fastest from step to step, without any smoothing.

    The rule of fastai's `steep` and of the plot of torch-lr-finder.
    """
    finite = np.isfinite(losses)
    return float(rates[finite][np.argmin(np.gradient(losses[finite]))])


TRAINED = ("ramp", "race")
RULES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "steepest": lambda r, losses: suggest_learning_rate(r, losses).suggestion,
    "fastai, valley": fastai_valley,
    "fastai, slide": fastai_slide,
    "fastai, minimum": fastai_minimum,
    "fastai, steep; torch-lr-finder": steepest_change,
    "Lightning 2.6": lightning,
    "Lightning before 2.6": partial(lightning, over_rate=False),
}


class Study:
    """The runs that there are, and those that are made where they are missing.

    Args:
        runs: `KeptRuns`.
        data: Folder of data, or None.
    """

    def __init__(self, runs: KeptRuns, data: Path) -> None:
        self.runs, self.data = runs, data

    def accuracies(self, cell: Cell, seed: int) -> dict[float, dict[str, float]]:
        """What the trainings over the grid reached, by their peaks."""
        found = {}
        for peak in PEAKS[cell[1]]:
            key = " | ".join([*cell, str(seed), f"{peak:.3g}"])
            make = partial(
                TASKS[cell[0]].train, self.data, (cell[1], cell[2]), seed, peak
            )
            run = self.runs.get(key, make)
            if run is not None:
                found[peak] = run
        return found

    def range_test(self, task: Task, optimizer: str, seed: int) -> dict | None:
        """The losses of a range test with the defaults."""

        def make() -> dict[str, Any]:
            found = self.found(task, optimizer, seed)
            return {"losses": [float(f"{loss:.5g}") for loss in found.losses]}

        return self.runs.get(f"ramp | {task.name} | {optimizer} | {seed}", make)

    def race(self, cell: Cell, seed: int) -> dict | None:
        """The short trainings of a race."""

        def make() -> dict[str, Any]:
            task = TASKS[cell[0]]
            found = self.found(task, cell[1], seed, method="race", schedule=cell[2])
            heats = [[*each[:3], round(each[3], 5)] for each in found.heats]
            return {"heats": heats}

        return self.runs.get(" | ".join(["race", *cell, str(seed)]), make)

    def found(self, task: Task, optimizer: str, seed: int, **options: Any) -> Any:
        """What `find_learning_rate` returns."""
        return find_learning_rate(
            task.model(optimizer, seed),
            *task.data(self.data, seed)[0],
            batch_size=task.batch,
            verbose=0,
            **options,
        )

    def run(self, seeds: list[int], names: list[str]) -> None:
        """Makes what is missing, seed by seed."""
        for seed, name in itertools.product(seeds, names):
            for optimizer in PEAKS:
                self.range_test(TASKS[name], optimizer, seed)
                for schedule in SCHEDULES:
                    cell = (name, optimizer, schedule)
                    self.accuracies(cell, seed)
                    suggested = self.suggestions(cell, seed)
                    for method in TRAINED:
                        self.reached(cell, seed, suggested[method])

    def suggestions(self, cell: Cell, seed: int) -> dict[str, float]:
        """What each method suggests."""
        name, optimizer, _ = cell
        run = self.range_test(TASKS[name], optimizer, seed)
        found = {}
        if run is not None:
            losses = np.array(run["losses"])
            rates = np.geomspace(1e-7, 10.0, 100)[: len(losses)]
            found = {rule: read(rates, losses) for rule, read in RULES.items()}
            found["ramp"] = RangeTest(rates, losses, falls=True).suggestion
        race = self.race(cell, seed)
        if race is not None:
            found["race"] = winner_of([Heat(*heat) for heat in race["heats"]])
        return found

    def reached(self, cell: Cell, seed: int, peak: float) -> dict | None:
        """What a training with a peak that was suggested reached."""
        key = " | ".join(["at", *cell, str(seed), f"{peak:.3g}"])
        task = TASKS[cell[0]]
        return self.runs.get(
            key, lambda: task.train(self.data, (cell[1], cell[2]), seed, peak)
        )


def cells() -> Iterator[Cell]:
    """All tasks, optimizers and schedules."""
    return itertools.product(TASKS, PEAKS, SCHEDULES)


def regrets(study: Study, cell: Cell, seeds: list[int]) -> dict[str, float]:
    """The regret of each method in points, in the mean over the seeds."""
    by_seed = {seed: study.accuracies(cell, seed) for seed in seeds}
    whole = [s for s, runs in by_seed.items() if len(runs) == len(PEAKS[cell[1]])]
    if not whole:
        return {}
    peaks = PEAKS[cell[1]]
    validation, test = (
        np.array([[by_seed[s][peak][part] for peak in peaks] for s in whole])
        for part in ("validation", "test")
    )
    both = (validation + test) / 2
    tuned = both.mean(0)[np.argmax(validation.mean(0))]
    reached = defaultdict(list)
    for line, seed in zip(both, whole, strict=True):
        for method, rate in study.suggestions(cell, seed).items():
            run = study.reached(cell, seed, rate) if method in TRAINED else None
            if run is not None:
                reached[method].append((run["validation"] + run["test"]) / 2)
            elif method not in TRAINED:
                at = np.interp(np.log(rate), np.log(peaks), line)
                reached[method].append(at if rate > 0 else line[0])
    return {
        method: float(tuned - np.mean(values))
        for method, values in reached.items()
        if len(values) == len(whole)
    }


def print_tables(study: Study, seeds: list[int]) -> None:
    """Regrets by task, by optimizer, and in all."""
    found = {cell: regrets(study, cell, seeds) for cell in cells()}
    found = {cell: each for cell, each in found.items() if each}
    methods = list(dict.fromkeys(m for each in found.values() for m in each))
    methods.sort(key=lambda method: method not in TRAINED)
    parts: dict[str, Callable[[Cell], bool]] = {
        "all": lambda cell: True,
        "all but Muon": lambda cell: cell[1] != "Muon",
    }
    for place, names in enumerate((TASKS, PEAKS, SCHEDULES)):
        for name in names:
            parts[name] = lambda cell, place=place, name=name: cell[place] == name
    rows = {}
    for title, belongs in parts.items():
        mine = [each for cell, each in found.items() if belongs(cell)]
        if mine:
            rows[f"{title} ({len(mine)})"] = [
                _mean_and_worst([each[m] for each in mine if m in each])
                for m in methods
            ]
    print("Regret in points of accuracy, mean and worst:")
    print_table("", methods, rows)


def _mean_and_worst(values: list[float]) -> str:
    return f"{np.mean(values):.1f}, {np.max(values):.1f}" if values else ""


def main() -> None:
    """Run what is missing and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path())
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--tables", action="store_true", help="only print the file")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    options = parser.parse_args()
    study = Study(KeptRuns(options.runs, only_read=options.tables), options.data)
    if not options.tables:
        study.run(options.seeds, options.tasks)
    study.runs.only_read = True
    print_tables(study, options.seeds)


if __name__ == "__main__":
    main()
