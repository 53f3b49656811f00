"""Draws the pictures that README.md shows and no other page has.

    KERAS_BACKEND=torch python benchmarks/readme_pictures.py [--folder docs/images]

`first-look.png` is the README's example, as it stands there and after the remedy that
`diagnose` names; `range-test.png` a learning-rate range test of the repaired network.
Takes half a minute.
"""

import argparse
from pathlib import Path

import keras
import matplotlib
import numpy as np

from keras_deeptools import GradientMonitor, diagnose, find_learning_rate

matplotlib.use("agg")
import matplotlib.pyplot as plt

EPOCHS = 5
X = np.random.default_rng(0).normal(size=(2000, 4)).astype("float32")
Y = (X[:, 0] * X[:, 1] > 0).astype("int32")


def network(activation: str, initializer: str) -> keras.Model:
    """Eight hidden layers, compiled."""
    keras.utils.set_random_seed(0)
    options = {"activation": activation, "kernel_initializer": initializer}
    hidden = [keras.layers.Dense(50, **options) for _ in range(8)]
    model = keras.Sequential([*hidden, keras.layers.Dense(1, "sigmoid")])
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return model


def first_look(path: Path) -> None:
    """Gradients by layer and accuracy by epoch, before and after the remedy."""
    figure, (norms, accuracy) = plt.subplots(
        1, 2, figsize=(9, 3.2), layout="constrained"
    )
    settings = (("C3", "sigmoid", "glorot_uniform"), ("C0", "relu", "he_normal"))
    for color, activation, initializer in settings:
        model = network(activation, initializer)
        print(diagnose(model, X, Y))
        monitor = GradientMonitor(on_problem="ignore")
        fit = model.fit(X, Y, epochs=EPOCHS, verbose=0, callbacks=[monitor])
        kernels = [v.endswith("kernel") for v in monitor.variables]
        means = monitor.history["norm"].mean(axis=0)[kernels]
        label = f"{activation}, {initializer}"
        norms.semilogy(range(1, len(means) + 1), means, "o-", color=color, label=label)
        reached = fit.history["accuracy"]
        accuracy.plot(range(1, EPOCHS + 1), reached, "o-", color=color, label=label)
        print(label, "accuracy", reached[-1], "gradients", means)
    norms.set(title="Gradients by layer", xlabel="layer", ylabel="mean L2 norm")
    accuracy.set(title="Training accuracy", xlabel="epoch", ylim=(0.4, 1.02))
    accuracy.set_xticks(range(1, EPOCHS + 1))
    accuracy.legend(loc="center right")
    figure.savefig(path, dpi=110)


def range_test(path: Path) -> None:
    """Loss against learning rate, with the suggestion."""
    found = find_learning_rate(network("relu", "he_normal"), X, Y, verbose=0)
    figure, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
    found.plot(ax=ax)
    figure.savefig(path, dpi=110)
    print("suggestion", found.suggestion)


def main() -> None:
    """Draws both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("docs/images"))
    folder = parser.parse_args().folder
    first_look(folder / "first-look.png")
    range_test(folder / "range-test.png")


if __name__ == "__main__":
    main()
