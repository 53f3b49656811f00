"""Draws docs/images/weight-averaging.png: the last weights and averages, by epoch.

The nets, data and averages of `weight_averaging.py`, at a constant rate, one seed:

    KERAS_BACKEND=torch python benchmarks/weight_averaging_picture.py
"""

import keras
import matplotlib.pyplot as plt
from weight_averaging import digits, net

from keras_deeptools.callbacks import WeightAveraging


class Errors(keras.callbacks.Callback):
    """Error on held-out rows at the end of each epoch, by name."""

    def __init__(self, averages: dict, data: list) -> None:
        super().__init__()
        self.averages, self.data = averages, data
        self.found: dict = {name: [] for name in ["last weights", *averages]}

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Judges the last weights and each average."""
        self.found["last weights"].append(self.error())
        for name, averaging in self.averages.items():
            with averaging.shown():
                self.found[name].append(self.error())

    def error(self) -> float:
        """Wrong answers in percent."""
        return 100 * (1 - self.model.evaluate(*self.data, verbose=0)[1])


def main() -> None:
    """Trains and draws."""
    x, y, *held_out = digits(0)
    keras.utils.set_random_seed(0)
    quiet = {"validated": False, "kept": False}
    averages = {
        "exponential, decay 0.99": WeightAveraging(0.99, **quiet),
        "SWA from epoch 30": WeightAveraging(None, start=30, **quiet),
    }
    errors = Errors(averages, held_out)
    callbacks = [*averages.values(), errors]
    net(4).fit(x, y, batch_size=32, epochs=40, verbose=0, callbacks=callbacks)
    figure, axes = plt.subplots(figsize=(7, 3.5))
    colors = {"last weights": "0.65"}
    for name, values in errors.found.items():
        first = 30 if name.startswith("SWA") else 0
        epochs = range(first + 1, 41)
        axes.plot(epochs, values[first:], label=name, color=colors.get(name))
    axes.set_xlabel("epoch")
    axes.set_ylabel("error on held-out digits, %")
    axes.set_ylim(0, 20)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig("docs/images/weight-averaging.png", dpi=120)


if __name__ == "__main__":
    main()
