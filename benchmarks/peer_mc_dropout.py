"""Monte Carlo dropout: 100 passes over 128 rows, ours against others.

784-512-512-512-10 with dropout, in Keras and in torch with the same weights: dropout
after every hidden layer, and after the last alone, where what comes before it is the
same in all passes. Batches of 32, as `mc_predict` takes them.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from alternating import Timed, alternate
from markdown_table import print_table
from peer_nets import net, twin
from peer_packages import module, reason
from peer_trainers import fastai_learner

from keras_deeptools.uncertainty import mc_predict

NUM_SAMPLES, NUM_ROWS, BATCH_SIZE = 100, 128, 32
INPUTS, WIDTH, DEPTH, RATE = 784, 512, 3, 0.1
OURS, CONTROL = "mc_predict", "mc_predict again (control)"
Samples = tuple[np.ndarray, np.ndarray]
"""Mean and standard deviation of the logits."""


def with_dropout(network: Any) -> Any:
    """The net in inference, but for its dropout layers."""
    import torch

    network.eval()
    for each in network.modules():
        if isinstance(each, torch.nn.Dropout):
            each.train()
    return network


def moments(samples: Any) -> Samples:
    """Of samples `(passes, rows, classes)`."""
    return samples.mean(0).numpy(), samples.std(0, correction=0).numpy()


def torch_loop(network: Any, batches: list) -> Callable[[], Samples]:
    """A loop over passes for each batch."""
    import torch

    with_dropout(network)

    def run() -> Samples:
        with torch.inference_mode():
            found = [
                torch.stack([network(x) for _ in range(NUM_SAMPLES)]) for x in batches
            ]
        return moments(torch.cat(found, 1))

    return run


def torch_uncertainty(network: Any, batches: list, tiled: bool) -> Callable:
    """torch-uncertainty's wrapper, in a loop or with the batch repeated."""
    import torch

    mc_dropout = module("torch_uncertainty.methods").mc_dropout
    wrapped = mc_dropout(network, NUM_SAMPLES, on_batch=tiled).eval()

    def run() -> Samples:
        with torch.inference_mode():
            found = [wrapped(x).reshape(NUM_SAMPLES, len(x), -1) for x in batches]
        return moments(torch.cat(found, 1))

    return run


def of_fastai(network: Any, batches: list) -> Callable[[], Samples]:
    """`MCDropoutCallback` of fastai with `get_preds`, once a pass."""
    import torch

    load = module("fastai.data.load").DataLoader
    callback = module("fastai.callback.preds").MCDropoutCallback
    x = torch.cat(batches)
    zeros = torch.zeros(len(x), dtype=torch.int64)
    loader = load(torch.utils.data.TensorDataset(x, zeros), BATCH_SIZE)
    learn = fastai_learner(network, loader, validated=True)

    def once() -> Any:
        return learn.get_preds(dl=loader, cbs=callback(), act=lambda x: x)[0]

    return lambda: moments(torch.stack([once() for _ in range(NUM_SAMPLES)]))


def contenders(here: list[str], x: np.ndarray, last_only: bool) -> dict[str, Callable]:
    """Functions that return the samples' moments."""
    import torch

    model = net(INPUTS, WIDTH, DEPTH, RATE, last_only)
    batches = list(torch.as_tensor(x).split(BATCH_SIZE))

    def ours() -> Samples:
        found = mc_predict(model, x, NUM_SAMPLES, batch_size=BATCH_SIZE, verbose=0)
        return found.mean, found.std

    found = {OURS: ours, CONTROL: ours, "torch loop": torch_loop(twin(model), batches)}
    if "torch-uncertainty" in here:
        found["torch-uncertainty, loop"] = torch_uncertainty(
            twin(model), batches, tiled=False
        )
        found["torch-uncertainty, batch repeated"] = torch_uncertainty(
            twin(model), batches, tiled=True
        )
    if "fastai" in here:
        found["fastai, MCDropoutCallback"] = of_fastai(twin(model), batches)
    return found


def distance(one: Samples, other: Samples) -> float:
    """Root mean square of the means' difference in standard errors; 1 is expected."""
    error = np.sqrt((one[1] ** 2 + other[1] ** 2) / NUM_SAMPLES)
    return float(np.sqrt(np.mean(((one[0] - other[0]) / error) ** 2)))


def report(here: list[str], rounds: int, quantile: float) -> dict:
    """Prints a table for each place of dropout and returns the seconds."""
    x = np.random.default_rng(0).normal(size=(NUM_ROWS, INPUTS)).astype("float32")
    measured = {}
    for last_only in (False, True):
        place = "the last hidden layer" if last_only else "every hidden layer"
        results: dict[str, Samples] = {}

        def timed(name: str, run: Callable, results: dict = results) -> Timed:
            def once() -> tuple[float, float]:
                begun = time.perf_counter()
                results[name] = run()
                return time.perf_counter() - begun, 0.0

            return once

        runs = contenders(here, x, last_only)
        ways = {name: timed(name, run) for name, run in runs.items()}
        found = alternate(ways, rounds, quantile, warmup=1)
        lines = {
            name: [
                f"{found.low(name):.3f} s",
                f"{found.ratio(name, OURS):.2f} ± {found.ratio_error(name, OURS):.2f}",
                "" if name == OURS else f"{distance(results[OURS], results[name]):.2f}",
            ]
            for name in found.seconds
        }
        columns = ("seconds", "over ours", "means apart, standard errors")
        print_table(f"dropout after {place}", columns, lines)
        for name, error in found.failed.items():
            print(f"\nfailed: {name}: {reason(error)}")
        measured[place] = {k: v.tolist() for k, v in found.seconds.items()}
    return measured
