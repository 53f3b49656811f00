"""Optimizers at rates tuned for each: a perceptron on few of scikit-learn's digits.

Every contestant trains with a cosine decay to zero, at five rates half a decade apart
from three seeds; the rate with the lowest mean loss on the validation data is then
trained from three further seeds and judged by the test data. A contestant whose best
rate is at an end of its grid is marked with "(end)". All train for the same number of
updates; what a step costs is in the guide, not here.

    python benchmarks/optimizers.py

600 images to learn from, 300 to choose by and 897 to judge; three hidden layers of 64
ReLU units, batches of 32, 20 epochs. Prints a table in Markdown.
"""

import argparse
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from markdown_table import mean_and_error, print_table
from sklearn.datasets import load_digits

from keras_deeptools import optimizers
from keras_deeptools.callbacks import (
    CautiousUpdates,
    GradientCentralizer,
    SharpnessAwareMinimization,
)

of = keras.optimizers
EPOCHS, BATCH_SIZE = 20, 32
Contestant = tuple[Callable[[Any], Any], float, Callable[[], list[Any]]]


def sgd(rate: Any) -> Any:
    """SGD with Nesterov's momentum."""
    return of.SGD(rate, momentum=0.9, nesterov=True)


def plain() -> list[Any]:
    """No callbacks."""
    return []


CONTESTANTS: dict[str, Contestant] = {
    "SGD, Nesterov momentum (Keras)": (sgd, 0.1, plain),
    "Adam (Keras)": (of.Adam, 3e-3, plain),
    "AdamW (Keras)": (of.AdamW, 3e-3, plain),
    "Lion (Keras)": (of.Lion, 3e-4, plain),
    "Muon (Keras)": (of.Muon, 1e-2, plain),
    "RectifiedAdam": (optimizers.RectifiedAdam, 3e-3, plain),
    "AdaBelief": (optimizers.AdaBelief, 3e-3, plain),
    "Adan": (optimizers.Adan, 1e-2, plain),
    "ADOPT": (optimizers.ADOPT, 3e-3, plain),
    "AdEMAMix, warmup over the run": (
        lambda rate: optimizers.AdEMAMix(rate, warmup_steps=20 * EPOCHS),
        3e-3,
        plain,
    ),
    "Prodigy": (optimizers.Prodigy, 1.0, plain),
    "SOAP": (optimizers.SOAP, 3e-3, plain),
    "Lookahead around SGD": (lambda rate: optimizers.Lookahead(sgd(rate)), 0.1, plain),
    "Lookahead around AdamW": (
        lambda rate: optimizers.Lookahead(of.AdamW(rate)),
        3e-3,
        plain,
    ),
    "AdamW, CautiousUpdates": (of.AdamW, 3e-3, lambda: [CautiousUpdates()]),
    "SGD, GradientCentralizer": (sgd, 0.1, lambda: [GradientCentralizer()]),
    "AdamW, SharpnessAwareMinimization": (
        of.AdamW,
        3e-3,
        lambda: [SharpnessAwareMinimization(0.05)],
    ),
    "AdamW, adaptive SharpnessAwareMinimization": (
        of.AdamW,
        3e-3,
        lambda: [SharpnessAwareMinimization(0.5, adaptive=True)],
    ),
    "SGD, SharpnessAwareMinimization": (
        sgd,
        0.1,
        lambda: [SharpnessAwareMinimization(0.05)],
    ),
}


def parts_of_digits() -> list[tuple[np.ndarray, np.ndarray]]:
    """Inputs and labels to learn from, to choose by and to judge."""
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = (x[order] / 16).astype("float32"), y[order]
    ends = [0, 600, 900, len(x)]
    return [(x[a:b], y[a:b]) for a, b in zip(ends, ends[1:], strict=False)]


def trained(
    contestant: Contestant, rate: float, seed: int, data: list[Any], epochs: int
) -> keras.Model:
    """A model after training."""
    make, _, callbacks = contestant
    keras.utils.set_random_seed(seed)
    hidden = [
        keras.layers.Dense(64, "relu", kernel_initializer="he_normal") for _ in range(3)
    ]
    model = keras.Sequential([keras.Input((64,)), *hidden, keras.layers.Dense(10)])
    steps = epochs * -(-len(data[0][0]) // BATCH_SIZE)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    schedule = of.schedules.CosineDecay(rate, steps)
    model.compile(make(schedule), loss, metrics=["accuracy"])
    model.fit(
        *data[0],
        epochs=epochs,
        batch_size=BATCH_SIZE,
        verbose=0,
        callbacks=callbacks(),
    )
    return model


def rates_around(middle: float, num_rates: int) -> list[float]:
    """Rates half a decade apart."""
    powers = np.arange(num_rates) - num_rates // 2
    return [float(f"{middle * 10 ** (power / 2):.2g}") for power in powers]


def row(contestant: Contestant, data: list[Any], arguments: Any) -> list[str]:
    """The chosen rate, accuracy and loss of a contestant."""
    seeds = range(arguments.seeds)
    rates = rates_around(contestant[1], arguments.rates)
    losses = []
    for rate in rates:
        models = [trained(contestant, rate, s, data, arguments.epochs) for s in seeds]
        found = [model.evaluate(*data[1], verbose=0)[0] for model in models]
        losses.append(np.nan_to_num(np.mean(found), nan=np.inf))
    best = int(np.argmin(losses))
    end = " (end)" if best in (0, len(rates) - 1) else ""
    further = [100 + seed for seed in seeds]
    results = np.array(
        [
            trained(contestant, rates[best], seed, data, arguments.epochs).evaluate(
                *data[2], verbose=0
            )
            for seed in further
        ]
    )
    return [
        f"{rates[best]:g}{end}",
        mean_and_error(100 * results[:, 1]),
        mean_and_error(results[:, 0], digits=3),
    ]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rates", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--only", nargs="*", default=list(CONTESTANTS))
    arguments = parser.parse_args()
    data = parts_of_digits()
    rows = {}
    for name in arguments.only:
        rows[name] = row(CONTESTANTS[name], data, arguments)
        print(name, *rows[name], sep="; ", flush=True)
    columns = ["rate", "test accuracy, %", "test loss"]
    print_table("optimizer", columns, rows)


if __name__ == "__main__":
    main()
