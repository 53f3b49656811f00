"""What rates of their own for layer groups cost, on a network of 200 variables.

    KERAS_BACKEND=jax python benchmarks/discriminative_rates.py [--groups 5]

A network of 100 dense layers trains with Adam in turn plain, plain again (the control)
and with `DiscriminativeLearningRates`, in one process. Small layers and few of them in
a batch make the update a large part of the step, so this is a hard case. A control
outside 0.98 to 1.02 says that the machine was too busy. Prints a Markdown table.
"""

import argparse

import keras
import numpy as np
from keras import layers
from side_by_side import BATCH_SIZE, CONTROL, PLAIN, compare

from keras_deeptools.transfer import DiscriminativeLearningRates, layer_groups


def network(depth: int, width: int) -> keras.Model:
    """Dense layers, one after another."""
    hidden = [layers.Dense(width, "selu", "lecun_normal") for _ in range(depth - 1)]
    return keras.Sequential([keras.Input((width,)), *hidden, layers.Dense(10)])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--groups", type=int, nargs="+", default=[5])
    parser.add_argument("--depth", type=int, default=100, help="layers, two variables")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--steps", type=int, default=10, help="batches timed at once")
    parser.add_argument("--quantile", type=float, default=0.1)
    options = parser.parse_args()
    size = BATCH_SIZE * options.steps
    x = np.random.default_rng(0).normal(size=(size, options.width)).astype("float32")
    y = np.random.default_rng(1).integers(0, 10, size)

    def make(num_groups: int | None = None) -> keras.Model:
        model = network(options.depth, options.width)
        optimizer = keras.optimizers.Adam(1e-4)
        if num_groups is not None:
            groups = layer_groups(model, num_groups)
            optimizer = DiscriminativeLearningRates(
                optimizer, slice(1e-6, 1e-4), groups
            )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer, loss)
        return model

    models = {f"{n} layer groups": lambda n=n: make(n) for n in options.groups}
    times = compare(make, {}, x, y, options.rounds, options.quantile, models)
    step = np.quantile(times.steps[PLAIN], options.quantile) / options.steps
    print(f"\n{keras.backend.backend()}, {2 * options.depth} variables, Adam")
    print(f"{1e3 * step:.2f} ms per plain step; {options.rounds} rounds")
    print("| way to train | step |")
    print("|---|---|")
    for kind in (CONTROL, *models):
        print(f"| {kind} | {times.ratio(kind):.3f} ± {times.spread(kind):.3f} |")
    if not times.conclusive:
        print("INCONCLUSIVE: the control is over 2% off. Run again on an idle machine.")


if __name__ == "__main__":
    main()
