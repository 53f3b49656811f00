"""Draws `docs/images/layer-group-rates.png` and `docs/images/gradual-unfreezing.png`.

    KERAS_BACKEND=torch python benchmarks/transfer_pictures.py [--folder docs/images]

Scikit-learn's digits: a small network learns 0 to 4, and then 5 to 9 from ten labels of
each, by `fine_tune` or `GradualUnfreezing`. Prints what is drawn: the accuracy on all
other images of 5 to 9, mean and standard error over the seeds.
"""

import argparse
from pathlib import Path
from typing import Any

import keras
import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

from keras_deeptools.transfer import (
    GradualUnfreezing,
    backbone,
    classifier,
    fine_tune,
    layer_groups,
)

LABELS_PER_CLASS, HEAD_EPOCHS, EPOCHS, BATCH = 10, 10, 20, 10
OPTIONS = {"padding": "same", "activation": "relu"}
LOSS = "sparse_categorical_crossentropy"


class Rates(keras.callbacks.Callback):
    """The rate of the optimizer in every update, and where the second phase begins."""

    def __init__(self) -> None:
        super().__init__()
        self.values: list[float] = []
        self.begins: list[int] = []

    def on_train_begin(self, logs: dict | None = None) -> None:
        """A phase begins."""
        self.begins.append(len(self.values))

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Takes note of it."""
        rate = keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
        self.values.append(float(rate))


class Accuracy(keras.callbacks.Callback):
    """The accuracy on images that are not learned from, after every epoch."""

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        super().__init__()
        self._data = (x, y)
        self.values: list[float] = []

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Predicts."""
        x, y = self._data
        guesses = self.model.predict(x, batch_size=len(x), verbose=0).argmax(axis=-1)
        self.values.append(float(np.mean(guesses == y)))


def convolutions() -> keras.Model:
    """Three blocks for images of 8 x 8 pixels."""
    conv = keras.layers.Conv2D
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            conv(16, 3, name="block1_conv", **OPTIONS),
            conv(32, 3, strides=2, name="block2_conv", **OPTIONS),
            conv(64, 3, strides=2, name="block3_conv", **OPTIONS),
        ]
    )


def images(seed: int) -> tuple[np.ndarray, ...]:
    """Old images and labels, few new ones, and new ones to test on."""
    data = load_digits()
    pixels, digits = data.images[..., None] * (255 / 16), data.target
    new = digits >= 5
    x, y = pixels[new], digits[new] - 5
    order = np.random.default_rng(seed).permutation(len(x))
    few = [order[y[order] == label][:LABELS_PER_CLASS] for label in range(5)]
    learned = np.concatenate(few)
    others = np.setdiff1d(order, learned)
    return pixels[~new], digits[~new], x[learned], y[learned], x[others], y[others]


def pretrained(x: np.ndarray, y: np.ndarray) -> keras.Model:
    """What has learned the old digits, without its head."""
    body = convolutions()
    teacher = classifier(backbone(body, preprocessing="symmetric"), num_classes=5)
    teacher.compile("adam", LOSS)
    teacher.fit(x, y, epochs=EPOCHS, verbose=0)
    return body


def with_head(body: keras.Model) -> keras.Model:
    """A copy under a new head."""
    copy = keras.models.clone_model(body)
    copy.set_weights(body.get_weights())
    return classifier(backbone(copy, preprocessing="symmetric"), num_classes=5)


def runs(seed: int) -> dict[str, Any]:
    """All that is drawn, of one seed."""
    keras.utils.set_random_seed(seed)
    old_x, old_y, x, y, *test = images(seed)
    body = pretrained(old_x, old_y)
    found: dict[str, Any] = {}

    rates = Rates()
    options = {"learning_rate": 1e-2, "batch_size": BATCH, "seed": seed, "verbose": 0}
    model = with_head(body)
    found["groups"] = [group.name for group in layer_groups(model)]
    fine_tune(
        model,
        x,
        y,
        epochs=EPOCHS,
        frozen_epochs=HEAD_EPOCHS,
        callbacks=[rates],
        **options,
    )
    found["rates"], found["begin"] = rates.values, rates.begins[-1]

    gradual, accuracy = with_head(body), Accuracy(*test)
    fitted = {"batch_size": BATCH, "epochs": HEAD_EPOCHS + EPOCHS, "verbose": 0}
    gradual.compile("adam", LOSS)
    unfreezing = GradualUnfreezing(epochs=8)
    gradual.fit(x, y, callbacks=[unfreezing, accuracy], **fitted)
    found["GradualUnfreezing"] = accuracy.values
    found["phases"] = [(p.epoch, p.num_groups) for p in unfreezing.history]
    return found


def line(axes: Any, values: list[list[float]], label: str, color: str) -> None:
    """Mean and standard error over the seeds, epoch by epoch."""
    points = 100 * np.asarray(values)
    mean = points.mean(axis=0)
    error = points.std(axis=0, ddof=1) / np.sqrt(len(points))
    epochs = np.arange(1, len(mean) + 1)
    axes.plot(epochs, mean, color, label=label)
    axes.fill_between(epochs, mean - error, mean + error, color=color, alpha=0.2, lw=0)
    print(f"{label}: {mean[-1]:.1f} +- {error[-1]:.1f} % after the last epoch")


def draw_rates(found: dict[str, Any], path: Path) -> None:
    """Rates of the layer groups in every update of `fine_tune`."""
    figure = Figure((6, 3.6), layout="constrained")
    axes = figure.subplots()
    rates, begin, names = np.asarray(found["rates"]), found["begin"], found["groups"]
    updates = np.arange(1, len(rates) + 1)
    for number, scale in enumerate(100.0 ** -np.linspace(1, 0, len(names))):
        is_head = number == len(names) - 1
        shown = slice(None) if is_head else slice(begin, None)
        values = np.where(updates > begin, rates * scale, rates)
        axes.semilogy(updates[shown], values[shown], label=names[number])
    axes.axvline(begin + 0.5, color="gray", lw=1, ls=":")
    axes.set(xlabel="update", ylabel="learning rate")
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=110)


def draw_unfreezing(found: list[dict[str, Any]], path: Path) -> None:
    """Which groups train when, and accuracies."""
    figure = Figure((9, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    names, phases = found[0]["groups"], found[0]["phases"]
    total = HEAD_EPOCHS + EPOCHS
    for row in range(len(names)):
        begins = [epoch for epoch, count in phases if count >= len(names) - row]
        begin = min(begins, default=total)
        left.barh(row, begin, color="0.85")
        left.barh(row, total - begin, left=begin, color=f"C{row}")
    left.set_yticks(range(len(names)), names)
    left.set(xlabel="epoch", title="which groups train")
    line(right, [r["GradualUnfreezing"] for r in found], "GradualUnfreezing", "C0")
    for epoch, _ in phases[1:]:
        right.axvline(epoch + 0.5, color="gray", lw=1, ls=":")
    right.set(xlabel="epoch", ylabel="accuracy, %", title="ten labels per class")
    figure.savefig(path, dpi=110)


def main() -> None:
    """Trains, prints and draws."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("docs/images"))
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    found = [runs(seed) for seed in range(options.seeds)]
    draw_rates(found[0], options.folder / "layer-group-rates.png")
    draw_unfreezing(found, options.folder / "gradual-unfreezing.png")


if __name__ == "__main__":
    main()
