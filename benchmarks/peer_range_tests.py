"""Range tests of several packages on one net: what they take, and what they suggest.

Three hidden layers of 128 on scikit-learn's digits, batches of 64, the same weights for
every package with the same seed. Whatever a package suggests, the training with it is
the same: Keras, 1cycle up to that rate. A grid of rates shows what could be reached.
"""

import contextlib
import io
import pickle
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import keras
import numpy as np
from markdown_table import mean_and_error, print_table
from peer_nets import compiled, digits, net, torch_optimizer, twin
from peer_packages import module, reason
from peer_trainers import fastai_learner, lightning_module, lightning_trainer

from keras_deeptools import find_learning_rate
from keras_deeptools.callbacks import OneCycleScheduler

BATCH_SIZE = 64
LOW, HIGH, NUM_STEPS = 1e-7, 10.0, 100
GRID = tuple(10.0**exponent for exponent in np.arange(-4, 0.6, 0.5))
OURS = ("suggestion", "valley", "steepest", "slide", "minimum")


@dataclass
class Found:
    """What one range test gave.

    Attributes:
        rates: Dict from a rule to the rate that it suggests.
        steps: Int, updates that the test made.
        undone: Pair of bools, whether the weights and the random states were as before.
    """

    rates: dict[str, float]
    steps: int
    undone: tuple[bool, bool]


@dataclass
class Table:
    """What the range tests of one optimizer gave.

    Attributes:
        seconds: Dict from a package to the seconds of its tests.
        steps: Dict from a package to the updates of its tests.
        undone: Dict from a package to whether all was as before, see `Found`.
        rates: Dict from a package and rule to the rates, one for each seed.
        accuracy: Dict from a package and rule, or a rate of the grid, to percents.
        failed: Dict from a package to its error.
    """

    seconds: dict[str, list] = field(default_factory=lambda: defaultdict(list))
    steps: dict[str, list] = field(default_factory=lambda: defaultdict(list))
    undone: dict[str, list] = field(default_factory=lambda: defaultdict(list))
    rates: dict[str, list] = field(default_factory=lambda: defaultdict(list))
    accuracy: dict[str, list] = field(default_factory=lambda: defaultdict(list))
    failed: dict[str, str] = field(default_factory=dict)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Keeps what the packages print to themselves."""
    with contextlib.redirect_stdout(io.StringIO()):
        with contextlib.redirect_stderr(io.StringIO()):
            yield


def random_states() -> tuple:
    """Of Python, numpy and torch."""
    import torch

    of_torch = torch.get_rng_state().numpy().tobytes()
    return random.getstate(), pickle.dumps(np.random.get_state()), of_torch


def weights_of(network: Any) -> list[np.ndarray]:
    """Copies of the weights of a torch net."""
    return [p.detach().numpy().copy() for p in network.parameters()]


def is_undone(
    network: Any, before: list[np.ndarray], states: tuple
) -> tuple[bool, bool]:
    """Whether weights and random states are what they were."""
    now = weights_of(network)
    same = all(np.array_equal(a, b) for a, b in zip(before, now, strict=True))
    return same, random_states() == states


def ours(model: keras.Sequential, optimizer: str) -> Found:
    """`find_learning_rate`, all rules."""
    compiled(model, optimizer, 1e-3)
    x, y, *_ = digits()
    model.evaluate(x[:BATCH_SIZE], y[:BATCH_SIZE], verbose=0)
    before, states = weights_of(model), random_states()
    found = find_learning_rate(model, x, y, batch_size=BATCH_SIZE, verbose=0)
    rates = {"suggestion": found.suggestion, **found.suggestions}
    undone = is_undone(model, before, states)
    return Found({k: float(rates[k]) for k in OURS}, len(found.losses), undone)


def batches(kind: Any) -> Any:
    """A loader of shuffled batches, of a class of that package."""
    import torch

    x, y, *_ = digits()
    data = torch.utils.data.TensorDataset(torch.as_tensor(x), torch.as_tensor(y))
    return kind(data, BATCH_SIZE, shuffle=True)


def of_fastai(model: keras.Sequential, optimizer: str) -> Found:
    """`lr_find` of fastai, all rules."""
    learn = fastai_learner(
        twin(model),
        batches(module("fastai.data.load").DataLoader),
        optimizer,
    )
    schedule = module("fastai.callback.schedule")
    rules = [schedule.valley, schedule.slide, schedule.minimum, schedule.steep]
    before, states = weights_of(learn.model), random_states()
    found = learn.lr_find(LOW, HIGH, NUM_STEPS, show_plot=False, suggest_funcs=rules)
    rates = {k: float(v) for k, v in found._asdict().items()}
    undone = is_undone(learn.model, before, states)
    return Found(rates, len(learn.recorder.lrs), undone)


def of_lightning(model: keras.Sequential, optimizer: str, wide: bool) -> Found:
    """Lightning's `Tuner.lr_find`, over its own range of rates or over ours."""
    import torch

    tuner = module("lightning.pytorch.tuner").Tuner
    wrapped = lightning_module(twin(model), optimizer)
    loader = batches(torch.utils.data.DataLoader)
    ends = {"min_lr": LOW, "max_lr": HIGH} if wide else {}
    before, states = weights_of(wrapped), random_states()
    trainer = lightning_trainer(max_epochs=-1, enable_checkpointing=True)
    found = tuner(trainer).lr_find(wrapped, loader, num_training=NUM_STEPS, **ends)
    undone = is_undone(wrapped, before, states)
    rate = found.suggestion()
    rates = {"suggestion": np.nan if rate is None else float(rate)}
    return Found(rates, len(found.results["lr"]), undone)


def of_torch_lr_finder(model: keras.Sequential, optimizer: str) -> Found:
    """torch-lr-finder's test, reset, and the rule of its plot."""
    import torch

    network = twin(model)
    finder = module("torch_lr_finder").LRFinder(
        network,
        torch_optimizer(network.parameters(), optimizer, 1e-3),
        torch.nn.CrossEntropyLoss(),
    )
    loader = batches(torch.utils.data.DataLoader)
    before, states = weights_of(network), random_states()
    finder.range_test(loader, start_lr=LOW, end_lr=HIGH, num_iter=NUM_STEPS)
    _, rate = finder.plot(ax=module("matplotlib.figure").Figure().subplots())
    finder.reset()
    undone = is_undone(network, before, states)
    return Found({"steepest": float(rate)}, len(finder.history["lr"]), undone)


FINDERS: dict[str, tuple[str, Callable[[keras.Sequential, str], Found]]] = {
    "find_learning_rate": ("", ours),
    "find_learning_rate again (control)": ("", ours),
    "fastai": ("fastai", of_fastai),
    "Lightning": ("lightning", partial(of_lightning, wide=False)),
    "Lightning, 1e-7 to 10": (
        "lightning",
        partial(of_lightning, wide=True),
    ),
    "torch-lr-finder": ("torch-lr-finder", of_torch_lr_finder),
}


def trained(seed: int, optimizer: str, rate: float, epochs: int) -> float:
    """Accuracy in percent on held-out rows after 1cycle up to a rate."""
    if not np.isfinite(rate):
        return np.nan
    x, y, *held_out = digits()
    keras.utils.set_random_seed(seed)
    model = compiled(net(64, 128, 3), optimizer, rate)
    one_cycle = OneCycleScheduler(rate)
    model.fit(x, y, BATCH_SIZE, epochs=epochs, verbose=0, callbacks=[one_cycle])
    return 100 * model.evaluate(*held_out, batch_size=773, verbose=0)[1]


def measure(here: list[str], optimizer: str, seeds: int, epochs: int) -> Table:
    """Range tests in turn, and training with what they suggest."""
    table = Table()
    chosen = {k: f for k, (peer, f) in FINDERS.items() if not peer or peer in here}
    for seed in range(-1, seeds):  # the first warms up
        for name in random.sample(list(chosen), len(chosen)):
            keras.utils.set_random_seed(max(seed, 0))
            model = net(64, 128, 3)
            try:
                with silence():
                    begun = time.perf_counter()
                    found = chosen[name](model, optimizer)
                    seconds = time.perf_counter() - begun
            except Exception as error:  # of a package of others, whatever it is
                table.failed[f"{name}, seed {seed}"] = reason(error)
                continue
            if seed < 0:
                continue
            table.seconds[name].append(seconds)
            table.steps[name].append(found.steps)
            table.undone[name].append(found.undone)
            for rule, rate in found.rates.items():
                table.rates[f"{name} | {rule}"].append(rate)
                if "control" not in name:
                    accuracy = trained(seed, optimizer, rate, epochs)
                    table.accuracy[f"{name} | {rule}"].append(accuracy)
        for rate in GRID if seed >= 0 else ():
            accuracy = trained(seed, optimizer, rate, epochs)
            table.accuracy[f"{rate:.2g}"].append(accuracy)
    return table


def lines_of_rates(table: Table) -> dict[str, list[str]]:
    """Geometric mean, spread in decades and accuracy, by package and rule."""
    lines = {}
    order = list(FINDERS)
    for name in sorted(table.rates, key=lambda name: order.index(name.split(" | ")[0])):
        rates = table.rates[name]
        if name not in table.accuracy:
            continue
        logs = np.log10([rate for rate in rates if np.isfinite(rate)])
        mean = f"{10 ** logs.mean():.2g}" if len(logs) else "none"
        spread = f"{logs.std():.2f}" if len(logs) else ""
        lines[name] = [mean, spread, mean_and_error(table.accuracy[name])]
    grid = {k: v for k, v in table.accuracy.items() if " | " not in k}
    best = max(grid, key=lambda rate: np.mean(grid[rate]))
    lines["the best of a grid | in hindsight"] = [best, "", mean_and_error(grid[best])]
    return lines


def report(here: list[str], seeds: int, epochs: int) -> dict:
    """Measures, prints tables and returns all that was measured."""
    measured = {}
    for optimizer in ("sgd", "adam"):
        table = measure(here, optimizer, seeds, epochs)
        print(f"\nrange tests, {optimizer}, {seeds} seeds, {epochs} epochs of training")
        columns = ["seconds, median", "updates", "per update"]
        columns += ["weights as before", "random states as before"]
        lines = {}
        for name in (name for name in FINDERS if name in table.seconds):
            seconds = table.seconds[name]
            each = 1e3 * np.median(np.divide(seconds, table.steps[name]))
            lines[name] = [
                f"{np.median(seconds):.2f}",
                f"{np.mean(table.steps[name]):.0f}",
                f"{each:.1f} ms",
                *(
                    "yes" if all(each) else "no"
                    for each in zip(*table.undone[name], strict=True)
                ),
            ]
        print_table("range test", columns, lines)
        columns = ["suggested, geometric mean", "spread, decades", "accuracy, %"]
        print_table("range test | rule", columns, lines_of_rates(table))
        for name, why in table.failed.items():
            print(f"\nfailed: {name}: {why}")
        measured[optimizer] = {k: dict(v) for k, v in vars(table).items()}
    return measured
