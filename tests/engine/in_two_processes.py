"""The same training in one process and in two, with torch's DistributedDataParallel.

Run with names of cases, it prints as JSON by how much the results differ: those of the
second process from the first, and those of the first from training in one process.
"""

import datetime
import json
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import torch
import torch.distributed as processes
from torch.nn.parallel import DistributedDataParallel

from keras_deeptools import attach
from keras_deeptools.callbacks import (
    GradientClipper,
    GradientMonitor,
    HyperparameterScheduler,
    MaxNormEnforcer,
    OneCycleScheduler,
    WeightAveraging,
    find_learning_rate,
)
from keras_deeptools.transfer import (
    DiscriminativeLearningRates,
    GradualUnfreezing,
    freeze,
    unfreeze,
)

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(32, 8)).astype("float32")
Y = RANDOM.integers(0, 4, 32)
BATCH = 16
STEPS = 2
"""Batches per epoch."""

Numbers = list[Any]


class Share:
    """What one of the processes that train together has of each batch.

    Args:
        rank: Int. Which process.
        size: Int. Number of processes.
    """

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size
        batches = np.arange(len(X)).reshape(-1, BATCH)
        rows = batches[:, rank::size].ravel()
        self.x, self.y = X[rows], Y[rows]
        self.fitting = {"batch_size": BATCH // size, "shuffle": False, "verbose": 0}

    def batches(self) -> list[tuple[Any, Any]]:
        x, y = torch.tensor(self.x), torch.tensor(self.y)
        size = BATCH // self.size
        return list(zip(x.split(size), y.split(size), strict=True))

    def wrapped(self, model: keras.Model) -> Any:
        return DistributedDataParallel(model) if self.size > 1 else model


def make_model(optimizer: Any = None) -> keras.Model:
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8,)),
            keras.layers.Dense(16, "relu", name="first"),
            keras.layers.Dense(12, "relu", name="second"),
            keras.layers.Dense(4, name="top"),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer or keras.optimizers.SGD(0.1, momentum=0.9), loss)
    model.optimizer.build(model.trainable_variables)
    return model


def epoch(model: keras.Model, network: Any, share: Share) -> None:
    """One pass over the data, as a loop for torch is written with a Keras optimizer."""
    for x, y in share.batches():
        model.zero_grad()
        torch.nn.functional.cross_entropy(network(x), y).backward()
        variables = model.trainable_variables
        with torch.no_grad():
            model.optimizer.apply([v.value.grad for v in variables], variables)


def trained(share: Share, *features: Any, optimizer: Any = None) -> Numbers:
    model = make_model(optimizer)
    network = share.wrapped(model)
    with attach(model, *features):
        for _ in range(2):
            epoch(model, network, share)
    return model.get_weights()


def gradient_monitor(share: Share) -> Numbers:
    monitor = GradientMonitor()
    weights = trained(share, monitor)
    return [*weights, monitor.global_norms, *monitor.history.values()]


def one_cycle(share: Share) -> Numbers:
    return trained(share, OneCycleScheduler(0.2, total_steps=2 * STEPS))


def scheduler(share: Share) -> Numbers:
    functions = {"learning_rate": lambda n: 0.1 / (n + 1), "momentum": lambda n: n / 9}
    return trained(share, HyperparameterScheduler(functions, total_steps=2 * STEPS))


def clipper(share: Share) -> Numbers:
    return trained(share, GradientClipper(global_norm=0.3, norm=0.2, value=0.05))


def max_norm(share: Share) -> Numbers:
    return trained(share, MaxNormEnforcer(0.7))


def averaging(share: Share) -> Numbers:
    model = make_model()
    network = share.wrapped(model)
    average = WeightAveraging(0.9)
    with attach(model, average):
        epoch(model, network, share)
        with average.shown():
            shown = model.get_weights()
        epoch(model, network, share)
    return [*model.get_weights(), *shown]


def group_rates(share: Share) -> Numbers:
    keras.utils.set_random_seed(0)
    model = make_model()
    groups = [[layer] for layer in model.layers]
    inner = keras.optimizers.AdamW(weight_decay=0.01)
    optimizer = DiscriminativeLearningRates(inner, [1e-3, 1e-2, 5e-2], groups)
    model.compile(optimizer, model.loss)
    optimizer.build(model.trainable_variables)
    network = share.wrapped(model)
    epoch(model, network, share)
    return model.get_weights()


def freezing(share: Share) -> Numbers:
    """A loop that wraps the model again, as the warning says."""
    model = make_model()
    network = share.wrapped(model)
    with attach(model, WeightAveraging(0.9), MaxNormEnforcer(0.7)):
        for change in (freeze, unfreeze):
            epoch(model, network, share)
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                change(model, "first")
            assert any("wrap it again" in str(w.message) for w in told) == (
                share.size > 1
            )
            network = share.wrapped(model)
        epoch(model, network, share)
    return model.get_weights()


def resumed(share: Share) -> Numbers:
    """Zeros where a loop that goes on from a file equals one that never stopped."""
    whole = make_model()
    network = share.wrapped(whole)
    with attach(whole, MaxNormEnforcer(0.7), GradientClipper(norm=0.2)):
        epoch(whole, network, share)
        path = FOLDER / f"model_{share.size}.keras"
        if share.rank == 0:
            whole.save(path)
        epoch(whole, network, share)
    if share.size > 1:
        processes.barrier()
    model = keras.models.load_model(path)
    with attach(model, MaxNormEnforcer(0.7), GradientClipper(norm=0.2)):
        epoch(model, share.wrapped(model), share)
    pairs = zip(model.get_weights(), whole.get_weights(), strict=True)
    return [np.subtract(a, b) for a, b in pairs]


# Keras 3.16 wraps the model in `fit`.


def fitted(share: Share) -> Numbers:
    model = make_model()
    monitor = GradientMonitor()
    callbacks = [
        monitor,
        OneCycleScheduler(0.2),
        GradientClipper(norm=0.2),
        MaxNormEnforcer(0.7),
        WeightAveraging(0.9),
    ]
    history = fit(model, share, callbacks)
    logs = list(history.history.values())
    return [*model.get_weights(), *logs, monitor.global_norms]


def fit(model: keras.Model, share: Share, callbacks: Sequence[Any] = ()) -> Any:
    options = {"epochs": 2, "callbacks": list(callbacks), **share.fitting}
    return model.fit(share.x, share.y, **options)


def fitted_in_several_steps(share: Share) -> Numbers:
    model = make_model()
    model.compile(model.optimizer, model.loss, steps_per_execution=2)
    callbacks = [OneCycleScheduler(0.2), WeightAveraging(0.9), MaxNormEnforcer(0.7)]
    fit(model, share, callbacks)
    return model.get_weights()


def fitted_and_frozen(share: Share) -> Numbers:
    model = make_model()
    fit(model, share, [GradualUnfreezing(epochs=[1])])
    freeze(model, "first")
    fit(model, share)
    unfreeze(model, "first")
    fit(model, share, [MaxNormEnforcer(0.7)])
    return model.get_weights()


def range_test(share: Share) -> Numbers:
    model = make_model()
    options = {"num_steps": 10, **share.fitting}
    found = find_learning_rate(model, share.x, share.y, **options)
    return [found.losses, *model.get_weights()]


class Interruption(keras.callbacks.Callback):
    """Ends training at the beginning of an epoch."""

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        if epoch == 1:
            raise KeyboardInterrupt


def fitted_and_resumed(share: Share) -> Numbers:
    """Zeros where a `fit` that was broken off goes on as if it had not been."""
    folder = FOLDER / f"backup_{share.size}_{share.rank}"
    backup = keras.callbacks.BackupAndRestore(str(folder))

    def run(*others: Any) -> Numbers:
        model = make_model()
        ours = [OneCycleScheduler(0.2), MaxNormEnforcer(0.7), WeightAveraging(0.9)]
        fit(model, share, [*ours, *others])
        return model.get_weights()

    whole = run()
    try:
        run(backup, Interruption())
    except KeyboardInterrupt:
        pass
    pairs = zip(run(backup), whole, strict=True)
    return [*whole, *(np.subtract(a, b) for a, b in pairs)]


FOLDER = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()
"""Where the processes meet and leave files; the names of cases come after it."""


def gap(results: Numbers, expected: Numbers) -> float:
    pairs = zip(results, expected, strict=True)
    gaps = [np.abs(np.subtract(a, b, dtype="float64")) for a, b in pairs]
    return max(float(np.max(gap, initial=0.0)) for gap in gaps)


def work(rank: int, names: list[str]) -> None:
    minute = datetime.timedelta(seconds=60)
    place = f"file://{FOLDER / 'store'}"
    processes.init_process_group(
        "gloo", init_method=place, rank=rank, world_size=2, timeout=minute
    )
    share = Share(rank, 2)
    results = {name: globals()[name](share) for name in names}
    torch.save(results, FOLDER / f"results_{rank}")
    processes.barrier()
    # Without destructors: torch joins gloo's threads there while it holds the lock that
    # they wait for, once in ten runs on a busy machine.
    os._exit(0)


if __name__ == "__main__":
    chosen = sys.argv[2:]
    alone = {name: globals()[name](Share(0, 1)) for name in chosen}
    torch.multiprocessing.spawn(work, (chosen,), nprocs=2)
    first, second = (
        torch.load(FOLDER / f"results_{rank}", weights_only=False) for rank in (0, 1)
    )
    found = {
        name: {
            "between": gap(second[name], first[name]),
            "from one": gap(first[name], alone[name]),
        }
        for name in chosen
    }
    print(json.dumps(found))
