"""Draws `docs/images/pretraining.png`: what layerwise pretraining does to a deep net.

    KERAS_BACKEND=torch python benchmarks/pretraining_picture.py [--path FILE]

The 5 x 200 sigmoid net of `benchmarks/pretraining_digits.py`, a split of its own for
each seed: the incoming weights of units of the first layer before and after, and the
test accuracy while it learns from 100 labels. Prints the accuracies at the end, mean
and standard error.
"""

import argparse

import keras
import numpy as np
from matplotlib.figure import Figure
from pretraining_digits import NETS, net, pretrain, split

NET = NETS["5 x 200 sigmoid, Glorot"]
STEP, ROWS, COLUMNS = 10, 4, 6


def curve(model: keras.Model, data: tuple, epochs: int, seed: int) -> list[float]:
    """Test accuracy after every tenth epoch."""
    x, y, _, *test = data
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    keras.utils.set_random_seed(seed)
    found = []
    for done in range(0, epochs, STEP):
        model.fit(
            x, y, batch_size=20, initial_epoch=done, epochs=done + STEP, verbose=0
        )
        found.append(model.evaluate(*test, batch_size=497, verbose=0)[1])
    return found


def tiles(kernel: np.ndarray) -> np.ndarray:
    """Incoming weights of the first units, as a sheet of images of 8 x 8."""
    kernel = kernel[:, : ROWS * COLUMNS]
    kernel = kernel / np.abs(kernel).max(axis=0)
    sheet = np.full((9 * ROWS - 1, 9 * COLUMNS - 1), np.nan)
    for unit in range(ROWS * COLUMNS):
        down, across = 9 * (unit // COLUMNS), 9 * (unit % COLUMNS)
        sheet[down : down + 8, across : across + 8] = kernel[:, unit].reshape(8, 8)
    return sheet


def main() -> None:
    """Trains, prints and draws."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--path", default="docs/images/pretraining.png")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=200, help="on the labels")
    options = parser.parse_args()
    figure = Figure((10, 3.4), layout="constrained")
    before, after, curves = figure.subplots(1, 3, width_ratios=(1, 1, 1.4))
    found: dict[str, list[list[float]]] = {"labels alone": [], "pretrained": []}
    for seed in range(options.seeds):
        data = split(seed)
        for name, values in found.items():
            model = net(NET, seed)
            axes, title = before, "first layer, initial"
            if name == "pretrained":
                pretrain("layerwise", model, data[2], 1, seed)
                axes, title = after, "first layer, pretrained"
            if seed == 0:
                axes.imshow(tiles(model.layers[1].get_weights()[0]), cmap="RdBu")
                axes.set_title(title)
                axes.set_axis_off()
            values.append(curve(model, data, options.epochs, seed))
    epochs = np.arange(STEP, options.epochs + 1, STEP)
    for color, (name, values) in zip(("C7", "C0"), found.items(), strict=True):
        points = 100 * np.asarray(values)
        mean = points.mean(axis=0)
        error = points.std(axis=0, ddof=1) / np.sqrt(len(points))
        curves.plot(epochs, mean, color, label=name)
        curves.fill_between(epochs, mean - error, mean + error, color=color, alpha=0.2)
        print(f"{name}: {mean[-1]:.1f} +- {error[-1]:.1f} %")
    curves.set(xlabel="epoch on 100 labels", ylabel="test accuracy, %")
    curves.set_title("5 x 200 sigmoid")
    curves.legend()
    figure.savefig(options.path, dpi=110)


if __name__ == "__main__":
    main()
