"""Glorot and Bengio, 2010, table 1, online and for long: 400,000 updates.

The networks, data and protocol of glorot_2010.py, which trains with `fit` and watches
every layer for 10,000 updates. Here a thousand updates are one compiled loop on JAX,
with the same weights, batches and plain SGD, so that forty times as many take
minutes. All methods of a seed see the same stream of images, each image once.

    KERAS_BACKEND=jax python benchmarks/glorot_long.py --results FILE
    KERAS_BACKEND=jax python benchmarks/glorot_long.py --results FILE --data mnist.npz

The learning rate of a method is first the one of `RATES` with the lowest validation
error in a shorter run with a seed of its own. Longer runs want smaller rates: with the
first seed the next lower rate of `ALL_RATES` is tried in full, until it is no better,
and the other seeds take the best. The validation error is taken every 10,000 updates;
the test error is that of the weights that were best there. What was reached
is written to the file as it goes on; runs that are there in full are left out.
`--table FILE` prints what a file holds.
"""

import argparse
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
from glorot_2010 import SEARCH_SEED, Runs, data_of, parser_of
from glorot_data import BATCH, Data
from glorot_networks import LOSS, METHODS

PER_BLOCK, PER_VALIDATION = 1000, 10
RATES = (0.3, 0.1, 0.03, 0.01)
ALL_RATES = (*RATES, 0.003, 0.001)
ROWS_AT_ONCE = 1000

Weights = list[Any]


class Loop:
    """Trains networks of one method, compiled once.

    Args:
        data: `Data`.
        name: Str, the method.
        width: Int, hidden units in a layer.

    Raises:
        RuntimeError: If the backend is not JAX.
    """

    def __init__(self, data: Data, name: str, width: int) -> None:
        if keras.backend.backend() != "jax":
            raise RuntimeError(
                "Loop: the backend must be JAX. Received: "
                f"{keras.backend.backend()}. Set KERAS_BACKEND=jax."
            )
        self._sizes = data.test[0].shape[1], data.num_classes, width
        self._method = METHODS[name]
        model = self._method.network(*self._sizes)

        def loss(weights: Weights, x: Any, y: Any) -> Any:
            return LOSS(y, model.stateless_call(weights, [], x)[0])

        @partial(jax.jit, donate_argnums=0)
        def train(weights: Weights, images: Any, classes: Any, rate: float) -> Weights:
            parts = images.reshape(-1, BATCH, images.shape[1])
            batches = parts, classes.reshape(-1, BATCH)

            def update(weights: Weights, batch: tuple) -> tuple[Weights, None]:
                x = (batch[0].astype("float32") - data.mean) / data.deviation
                gradients = jax.grad(loss)(weights, x, batch[1])
                pairs = zip(weights, gradients, strict=True)
                return [w - rate * g for w, g in pairs], None

            return jax.lax.scan(update, weights, batches)[0]

        @jax.jit
        def errors(weights: Weights, x: Any, y: Any) -> Any:
            logits, _ = model.stateless_call(weights, [], x)
            return (logits.argmax(-1) != y).sum()

        self.train: Callable[..., Weights] = train
        self._errors = errors

    def new_weights(self, seed: int) -> Weights:
        """Those that `glorot_2010.py` starts from."""
        keras.utils.set_random_seed(seed)
        model = self._method.network(*self._sizes)
        return [jax.numpy.array(w) for w in model.get_weights()]

    def error(self, weights: Weights, x: np.ndarray, y: np.ndarray) -> float:
        """Percent of wrong answers."""
        parts = range(0, len(x), ROWS_AT_ONCE)
        wrong = sum(
            int(self._errors(weights, x[i : i + ROWS_AT_ONCE], y[i : i + ROWS_AT_ONCE]))
            for i in parts
        )
        return round(100 * wrong / len(x), 2)


@dataclass
class Network:
    """A network in training.

    Attributes:
        loop: `Loop` of its method.
        record: Dict, what is written to the file.
        weights: List of arrays.
        best: Copy of the weights with the lowest validation error.
    """

    loop: Loop
    record: dict[str, Any]
    weights: Weights
    best: Weights = field(default_factory=list)

    def learn(self, images: np.ndarray, classes: np.ndarray) -> None:
        """A block of updates."""
        rate = self.record["rate"]
        start = time.perf_counter()
        self.weights = self.loop.train(self.weights, images, classes, rate)
        jax.block_until_ready(self.weights)
        self.record["seconds"] += time.perf_counter() - start
        self.record["updates"] += len(images) // BATCH

    def validate(self, data: Data) -> None:
        """Takes the validation error, and keeps weights that are better."""
        curve = self.record["validation"]
        curve.append(self.loop.error(self.weights, *data.validation))
        if curve[-1] <= min(curve):
            self.best = [np.array(w) for w in self.weights]

    def test(self, data: Data) -> None:
        """Takes the test error of the best weights."""
        self.record["test"] = self.loop.error(self.best, *data.test)


def together(
    data: Data,
    networks: list[Network],
    seed: int,
    updates: int,
    save: Callable[[], None],
) -> None:
    """Trains networks on the same images.

    Args:
        data: `Data`.
        networks: List of `Network`.
        seed: Int, of the stream of images.
        updates: Int, of each; a multiple of `PER_BLOCK`.
        save: Is called after every validation.
    """
    for number, block in enumerate(data.blocks(seed, PER_BLOCK * BATCH), start=1):
        for network in networks:
            network.learn(*block)
        is_last = number * PER_BLOCK >= updates
        if is_last or number % PER_VALIDATION == 0:
            for network in networks:
                network.validate(data)
                if seed != SEARCH_SEED:
                    network.test(data)
            save()
        if is_last:
            return


class LongRuns(Runs):
    """Runs in which a rate is chosen twice, the second time in full length."""

    def full(self, data: str, method: str) -> list[dict[str, Any]]:
        """Those of the first seed that were not broken off, the best first."""
        found = [run for run in self.of(data=data, method=method) if "test" in run]
        first = min((run["seed"] for run in found), default=None)
        updates = max((run["updates"] for run in self.of(data=data)), default=0)
        found = [r for r in found if r["seed"] == first and r["updates"] == updates]
        return sorted(found, key=lambda run: min(run["validation"]))

    def rate(self, data: str, method: str) -> float:
        """The best in full length; without such a run, that of the search."""
        full = self.full(data, method)
        return full[0]["rate"] if full else super().rate(data, method)

    def next_rate(self, data: str, method: str) -> float | None:
        """The rate to be tried in full; None if the best is known."""
        full = self.full(data, method)
        if not full:
            return self.rate(data, method)
        lower = [rate for rate in ALL_RATES if rate < full[0]["rate"]]
        tried = {run["rate"] for run in full}
        return None if not lower or lower[0] in tried else lower[0]

    def full_table(self, data: str) -> None:
        """Lowest validation error for every rate in full length."""
        print(f"| {data}, in full length | {' | '.join(map(str, ALL_RATES))} |")
        print(f"|---|{'---|' * len(ALL_RATES)}")
        for name in METHODS:
            best = {r["rate"]: min(r["validation"]) for r in self.full(data, name)}
            cells = [f"{best[rate]:.2f}" if rate in best else "" for rate in ALL_RATES]
            print(f"| {name} | {' | '.join(cells)} |")
        print()

    def table(self) -> None:
        """Errors by rate in full length, too."""
        for data in dict.fromkeys(run["data"] for run in self.all):
            self.full_table(data)
        super().table()


def trained(
    loops: dict[str, Loop],
    data: Data,
    plan: Iterable[tuple[str, float]],
    seed: int,
    chosen: argparse.Namespace,
    runs: Runs,
) -> None:
    """Trains what of a plan is not in the file, all on the same images.

    Args:
        loops: Dict from method to `Loop`.
        data: `Data`.
        plan: Method and rate of each network.
        seed: Int, of weights and images.
        chosen: The options of the command line.
        runs: Where records go.
    """
    updates = chosen.search if seed == SEARCH_SEED else chosen.updates
    networks = []
    for name, rate in plan:
        key = {"data": data.name, "method": name, "rate": rate, "seed": seed}
        old = runs.of(**key)
        if old and old[0]["updates"] >= updates:
            continue
        runs.all = [run for run in runs.all if run not in old]
        record = key | {"width": chosen.width, "updates": 0, "seconds": 0.0}
        record |= {"validation": []}
        runs.all.append(record)
        networks.append(Network(loops[name], record, loops[name].new_weights(seed)))

    def save() -> None:
        done = networks[0].record["updates"]
        best = [min(network.record["validation"]) for network in networks]
        print(f"{data.name}, seed {seed}, {done:,} updates: {best}", flush=True)
        runs.save()

    if networks:
        together(data, networks, seed, updates, save)


def picture(path: Path, runs: Runs) -> None:
    """Draws validation errors, means over seeds, and where the paper's networks end."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import StrMethodFormatter

    plain = StrMethodFormatter("{x:g}")
    names = list(dict.fromkeys(run["data"] for run in runs.all))
    figure = Figure((10, 3.8), layout="constrained")
    for ax, data in zip(
        figure.subplots(1, len(names), squeeze=False)[0], names, strict=True
    ):
        for index, (name, method) in enumerate(METHODS.items()):
            rate = runs.rate(data, name)
            seeds = runs.of(data=data, method=name, rate=rate)
            seeds = [run for run in seeds if "test" in run]
            if not seeds:
                continue
            curve = np.mean([run["validation"] for run in seeds], axis=0)
            at = np.linspace(0, seeds[0]["updates"], len(curve) + 1)[1:]
            ax.plot(at, curve, color=f"C{index}", label=name)
            ax.plot(at[-1] * 1.15, method.paper[data], "o", color=f"C{index}")
        ax.set(xscale="log", yscale="log", xlabel="updates", title=data)
        ax.set_ylabel("validation error, %; dots: the paper's test error", fontsize=8)
        for kind in ("major", "minor"):
            getattr(ax.yaxis, f"set_{kind}_formatter")(plain)
        ax.tick_params(axis="y", which="both", labelsize=7)
        ax.legend(fontsize=7)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Choose rates, run the seeds and print the table."""
    parser = parser_of(__doc__, RATES, updates=400_000, search=30_000)
    parser.add_argument("--picture", type=Path, help="file to draw the runs to")
    chosen = parser.parse_args()
    runs = LongRuns(chosen.table or chosen.results)
    if not chosen.table:
        data = data_of(chosen)
        loops = {name: Loop(data, name, chosen.width) for name in chosen.methods}
        search = [(name, rate) for name in chosen.methods for rate in chosen.rates]
        trained(loops, data, search, SEARCH_SEED, chosen, runs)
        first, *others = chosen.seeds
        while plan := [
            (name, rate)
            for name in chosen.methods
            if (rate := runs.next_rate(data.name, name)) is not None
        ]:
            trained(loops, data, plan, first, chosen, runs)
        best = [(name, runs.rate(data.name, name)) for name in chosen.methods]
        for seed in others:
            trained(loops, data, best, seed, chosen, runs)
    runs.table()
    if chosen.picture:
        picture(chosen.picture, runs)


if __name__ == "__main__":
    main()
