"""What following the training costs per step: ours in Keras, others in theirs.

Six dense layers, Adam, batches of 128, the same weights and rows. Each
trainer has batches in the form that costs it least, and is compared with itself.
"""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from alternating import Rounds, Timed, alternate
from markdown_table import print_table
from peer_nets import compiled, net, torch_optimizer, twin
from peer_packages import module, reason, subclass
from peer_trainers import (
    FOLDER,
    fastai_learner,
    fastai_stopwatch,
    lightning_module,
    lightning_stopwatch,
    lightning_trainer,
)
from side_by_side import BATCH_SIZE, Runner

from keras_deeptools.callbacks import (
    GradientMonitor,
    OneCycleScheduler,
    WeightAveraging,
)

PLAIN, CONTROL = "plain", "plain again (control)"
RATE, TOTAL_STEPS = 1e-3, 10**5
INPUTS, DEPTH = 512, 5
Batches = list[tuple[Any, Any]]


def keras_ways(
    x: np.ndarray, y: np.ndarray, width: int, stack: contextlib.ExitStack
) -> dict:
    """Keras' `fit`, plain and with each of ours."""
    ours: dict[str, Any] = {
        PLAIN: None,
        CONTROL: None,
        "1cycle: OneCycleScheduler": OneCycleScheduler(RATE, total_steps=TOTAL_STEPS),
        "gradients: GradientMonitor": GradientMonitor("norm", on_problem="ignore"),
        "averages: WeightAveraging": WeightAveraging(validated=False, kept=False),
    }

    def way(callback: Any) -> Timed:
        model = compiled(net(INPUTS, width, DEPTH), "adam", RATE)
        runner = stack.enter_context(Runner(model, callback))
        return lambda: runner.epoch(x, y)

    return {f"Keras | {name}": way(callback) for name, callback in ours.items()}


def torch_ways(batches: Batches, model: keras.Sequential) -> dict:
    """A loop in torch, plain and with torch's own helpers."""
    import torch

    def way(one_cycle: bool = False, norms: bool = False, decay: float = 0) -> Timed:
        network = twin(model)
        optimizer = torch_optimizer(network.parameters(), "adam", RATE)
        after: list[Any] = []
        if one_cycle:
            schedule = torch.optim.lr_scheduler.OneCycleLR(
                optimizer, RATE, total_steps=TOTAL_STEPS
            )
            after.append(schedule.step)
        if decay:
            average = torch.optim.swa_utils.AveragedModel(
                network,
                multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(decay),
            )
            after.append(lambda: average.update_parameters(network))
        kept: list[Any] = []

        def run() -> tuple[float, float]:
            begun = time.perf_counter()
            for x, y in batches:
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(network(x), y).backward()
                if norms:
                    each = [p.grad.norm() for p in network.parameters()]
                    kept.append(torch.stack(each))
                optimizer.step()
                for call in after:
                    call()
            return time.perf_counter() - begun, 0.0

        return run

    return {
        f"torch loop | {PLAIN}": way(),
        f"torch loop | {CONTROL}": way(),
        "torch loop | 1cycle: OneCycleLR": way(one_cycle=True),
        "torch loop | gradients: norm of each": way(norms=True),
        "torch loop | averages: AveragedModel, EMA": way(decay=0.999),
    }


def cockpit_ways(batches: Batches, model: keras.Sequential) -> dict:
    """A loop in torch with cockpit's quantities of gradients, at every step."""
    import torch

    cockpit, quantities = module("cockpit"), module("cockpit.quantities")
    every = module("cockpit.utils.schedules").linear(1)

    network = module("backpack").extend(twin(model))
    optimizer = torch_optimizer(network.parameters(), "adam", RATE)
    loss_of = module("backpack").extend(torch.nn.CrossEntropyLoss())
    held = cockpit.Cockpit(network.parameters(), [quantities.GradNorm(every)])
    steps = 0

    def run() -> tuple[float, float]:
        nonlocal steps
        begun = time.perf_counter()
        for x, y in batches:
            optimizer.zero_grad()
            loss = loss_of(network(x), y)
            info = {"batch_size": len(y), "loss": loss, "optimizer": optimizer}
            with held(steps, info=info):
                loss.backward(create_graph=held.create_graph(steps))
            optimizer.step()
            steps += 1
        return time.perf_counter() - begun, 0.0

    return {"torch loop | gradients: cockpit, GradNorm": run}


def fastai_ways(batches: Batches, model: keras.Sequential) -> dict:
    """`Learner` of fastai, plain, with 1cycle and with statistics.

    It has no callback for gradients, so that one is as its users would write it.
    """
    module("fastai.callback.schedule")  # it adds `fit_one_cycle` to `Learner`
    load = module("fastai.data.load").DataLoader
    base = module("fastai.learner").Callback

    kept: list[Any] = []

    def after_backward(self: Any) -> None:
        kept.append([p.grad.norm() for p in self.learn.model.parameters()])

    norms = subclass(base, after_backward=after_backward)

    def way(one_cycle: bool = False, callbacks: Any = None) -> Timed:
        loader = load(batches, bs=None, num_workers=0)
        learn = fastai_learner(twin(model), loader)
        added, watch = fastai_stopwatch()
        learn.add_cbs(added + (callbacks or []))

        def run() -> tuple[float, float]:
            (learn.fit_one_cycle if one_cycle else learn.fit)(1, RATE)
            return watch.seconds

        return run

    statistics = module("fastai.callback.hook").ActivationStats
    return {
        f"fastai | {PLAIN}": way(),
        f"fastai | {CONTROL}": way(),
        "fastai | 1cycle: fit_one_cycle": way(one_cycle=True),
        "fastai | gradients: a callback written for it": way(callbacks=[norms()]),
        "fastai | activations: ActivationStats": way(callbacks=[statistics()]),
    }


def lightning_ways(batches: Batches, model: keras.Sequential) -> dict:
    """Lightning's `Trainer`, plain, with 1cycle, gradient norms and averages."""
    import torch

    grad_norm = module("lightning.pytorch.utilities").grad_norm
    averaging = module("lightning.pytorch.callbacks").EMAWeightAveraging
    csv_logger = module("lightning.pytorch.loggers").CSVLogger
    loader = torch.utils.data.DataLoader(batches, batch_size=None)

    def way(
        total_steps: int = 0, norms: str = "", make: Any = None, **kwargs: Any
    ) -> Timed:
        wrapped = lightning_module(twin(model), "adam", RATE, total_steps)
        kept: list[Any] = []

        def keep(optimizer: Any) -> None:
            kept.append(grad_norm(wrapped, 2))

        def log(optimizer: Any) -> None:
            wrapped.log_dict(grad_norm(wrapped, 2))

        if norms:
            wrapped.on_before_optimizer_step = {"keep": keep, "log": log}[norms]

        def run() -> tuple[float, float]:
            first, last, watch = lightning_stopwatch()
            between = [make()] if make else []
            logger = csv_logger(FOLDER) if norms == "log" else False
            trainer = lightning_trainer(
                [first, *between, last], logger=logger, log_every_n_steps=1
            )
            trainer.fit(wrapped, loader)
            return watch.seconds

        return run

    return {
        f"Lightning | {PLAIN}": way(),
        f"Lightning | {CONTROL}": way(),
        "Lightning | 1cycle: OneCycleLR": way(total_steps=TOTAL_STEPS),
        "Lightning | gradients: grad_norm, kept": way(norms="keep"),
        "Lightning | gradients: grad_norm, log_dict": way(norms="log"),
        "Lightning | averages: EMAWeightAveraging": way(make=averaging),
    }


PEER_WAYS = {
    "cockpit": cockpit_ways,
    "fastai": fastai_ways,
    "lightning": lightning_ways,
}


def measure(
    here: list[str], width: int, rounds: int, steps: int, quantile: float
) -> Rounds:
    """Times all ways in turn.

    Args:
        here: Names of the peers to take.
        width: Int, units of a hidden layer.
        rounds: Int, timed epochs of each.
        steps: Int, batches in an epoch.
        quantile: Float, which quantile of the epochs counts.
    """
    import torch

    random = np.random.default_rng(0)
    x = random.normal(size=(BATCH_SIZE * steps, INPUTS)).astype("float32")
    y = random.integers(0, 10, len(x))
    batches = list(
        zip(
            torch.as_tensor(x).split(BATCH_SIZE),
            torch.as_tensor(y).split(BATCH_SIZE),
            strict=True,
        )
    )
    model = net(INPUTS, width, DEPTH)
    broken: dict[str, Exception] = {}
    with contextlib.ExitStack() as stack:
        ways = keras_ways(x, y, width, stack) | torch_ways(batches, model)
        for peer, make in PEER_WAYS.items():
            if peer not in here:
                continue
            try:
                ways |= make(batches, model)
            except Exception as error:  # of a package of others, whatever it is
                broken[peer] = error
        found = alternate(ways, rounds, quantile)
    found.failed.update(broken)
    return found


def rows(found: Rounds, steps: int) -> Iterator[tuple[str, list[str]]]:
    """The lines of the table."""
    for name in found.seconds:
        trainer, _, what = name.partition(" | ")
        plain = f"{trainer} | {PLAIN}"
        if what == PLAIN:
            yield name, [f"{1e3 * found.low(name) / steps:.2f} ms", "", "", ""]
            continue
        if plain not in found.seconds:
            continue
        ratio = found.ratio(name, plain)
        added = 1e3 * (found.low(name) - found.low(plain)) / steps
        end = 1e3 * (found.low(name, 1) - found.low(plain, 1))
        yield (
            name,
            [
                f"{1e3 * found.low(name) / steps:.2f} ms",
                f"{ratio:.3f} ± {found.ratio_error(name, plain):.3f}",
                f"{added:+.2f} ms",
                f"{max(end, 0):.1f} ms",
            ],
        )


def report(
    here: list[str], width: int, rounds: int, steps: int, quantile: float
) -> dict:
    """Measures, prints a table and returns the seconds of all rounds."""
    found = measure(here, width, rounds, steps, quantile)
    columns = ("", "step", "over its own plain", "added per step", "end of epoch")
    print_table("trainer | with", columns[1:], dict(rows(found, steps)))
    for name, error in found.failed.items():
        print(f"\nfailed: {name}: {reason(error)}")
    for trainer in ("Keras", "torch loop", "fastai", "Lightning"):
        control = f"{trainer} | {CONTROL}"
        if control in found.seconds:
            off = found.ratio(control, f"{trainer} | {PLAIN}") - 1
            if abs(off) > 0.02:
                print(f"\nINCONCLUSIVE: the control of {trainer} is {off:+.1%} off.")
    return {name: seconds.tolist() for name, seconds in found.seconds.items()}
