"""Seconds that `lsuv` takes on MobileNetV2, against a walk layer by layer.

    KERAS_BACKEND=jax python benchmarks/lsuv.py [--size 96] [--rows 16] [--rounds 3]

Cold is the first call in the process, warm the median of calls on further models of
the same kind; each model is new. The peer is what LSUV code does: layer after layer,
eagerly, with the standard deviation taken on the host; it keeps every output that is
still wanted, so its cost is linear in depth, too. It stops after one scaling per layer
and checks nothing. `--rebalance SEEDS` also times `rebalance` on 50 SELU layers and
prints the growth of the gradient before and after.
"""

import argparse
import time
from collections.abc import Callable

import keras
import numpy as np
from markdown_table import print_table

from keras_deeptools.initializers import lsuv, rebalance


def mobile_net(size: int) -> keras.Model:
    """Random weights, as Keras gives them."""
    return keras.applications.MobileNetV2((size, size, 3), weights=None)


def eager_walk(model: keras.Model, x: np.ndarray) -> None:
    """Runs one layer after the other and scales those with a kernel."""
    kept = {id(model.inputs[0]): keras.ops.convert_to_tensor(x)}
    for layer in model.layers[1:]:
        sources = layer.input if isinstance(layer.input, list) else [layer.input]
        inputs = [kept[id(source)] for source in sources]
        given = inputs if isinstance(layer.input, list) else inputs[0]
        output = layer(given, training=False)
        kernel = getattr(layer, "kernel", None)
        if kernel is not None and layer is not model.layers[-1]:
            std = float(keras.ops.convert_to_numpy(keras.ops.std(output)))
            kernel.assign(kernel / std)
            output = layer(given, training=False)
        kept[id(layer.output)] = output


def seconds(function: Callable, size: int, x: np.ndarray, rounds: int) -> list[float]:
    """Durations of calls on one new model after the other."""
    durations = []
    for _ in range(rounds):
        model = mobile_net(size)
        start = time.perf_counter()
        function(model, x)
        durations.append(time.perf_counter() - start)
    return durations


def row(durations: list[float], warm_of_ours: float) -> list[str]:
    """Cold and warm seconds, and how many times as long as ours the warm ones are."""
    warm = np.array(durations[1:])
    spread = f"{warm.min():.2f} to {warm.max():.2f}"
    return [
        f"{durations[0]:.2f} s",
        f"{np.median(warm):.2f} s ({spread})",
        f"{np.median(warm) / warm_of_ours:.2f}",
    ]


def selu_growth(seed: int) -> tuple[float, float, float]:
    """Growth of the gradient over 50 SELU layers before and after, and seconds."""
    keras.utils.set_random_seed(seed)
    hidden = [
        keras.layers.Dense(256, "selu", kernel_initializer="lecun_normal")
        for _ in range(50)
    ]
    last = keras.layers.Dense(10, kernel_initializer="lecun_normal")
    model = keras.Sequential([keras.Input((64,)), *hidden, last])
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(256, 64)), rng.integers(0, 10, 256)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    start = time.perf_counter()
    layers = rebalance(model, x, y, loss=loss, verbose=0).layers
    duration = time.perf_counter() - start
    before = layers[0].gradient_before / layers[49].gradient_before
    return before, layers[0].gradient_after / layers[49].gradient_after, duration


def main() -> None:
    """Times what the options ask for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=4, help="of each, 2 or more")
    parser.add_argument("--peer", choices=["first", "last", "none"], default="last")
    parser.add_argument("--rebalance", type=int, default=0, metavar="SEEDS")
    options = parser.parse_args()
    shape = (options.rows, options.size, options.size, 3)
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    print(f"{keras.backend.backend()}, MobileNetV2 {shape}")
    found = {}
    if options.peer == "first":
        found["eager walk"] = seconds(eager_walk, options.size, x, options.rounds)
    found["`lsuv`"] = seconds(
        lambda m, x: lsuv(m, x, verbose=0), options.size, x, options.rounds
    )
    if options.peer == "last":
        found["eager walk"] = seconds(eager_walk, options.size, x, options.rounds)
    warm = float(np.median(found["`lsuv`"][1:]))
    rows = {name: row(durations, warm) for name, durations in found.items()}
    print_table("way", ["cold", "warm", "warm, over `lsuv`"], rows)
    result = lsuv(mobile_net(options.size), x, verbose=0)
    errors = [abs(layer.std_after - 1) for layer in result.layers]
    print(f"{len(errors)} layers, largest deviation {max(errors):.2g}")
    growth = np.array([selu_growth(seed) for seed in range(options.rebalance)])
    for name, column in zip(("before", "after", "seconds"), growth.T, strict=False):
        print(f"rebalance {name}: {column.mean():.2f} +- {column.std():.2f}")


if __name__ == "__main__":
    main()
