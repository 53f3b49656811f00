"""Ten faults in one training: without a guard, with clipping, and with `SpikeGuard`.

    KERAS_BACKEND=torch python benchmarks/spike_guard.py [--seeds 5] [--epochs 20]

A small network with BatchNormalization learns scikit-learn's digits. Into one training
are injected: three batches that are not finite, three of inputs times 1000, two whose
labels are shifted by one, and two updates with a learning rate times 10,000. Prints a
Markdown table of the accuracy on a held-out quarter: of the clean training, and of the
training with faults. `--plot` draws the losses.
"""

import argparse
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits

from keras_deeptools.callbacks import GradientClipper, SpikeGuard

BATCH_SIZE = 32
KINDS = ("not finite", "times 1000", "shifted labels", "large step")
ORDER = (0, 1, 2, 3, 0, 1, 2, 3, 0, 1)
"""The kind of each fault, in the order in which they come."""
WAYS: dict[str, Callable[[], list[Any]]] = {
    "nothing": list,
    "GradientClipper(global_norm=1)": lambda: [GradientClipper(global_norm=1.0)],
    "SpikeGuard()": lambda: [SpikeGuard()],
    'SpikeGuard("damp")': lambda: [SpikeGuard("damp")],
}


def data(seed: int) -> tuple[np.ndarray, ...]:
    """Digits in [0, 1], three quarters to train on and one to test with."""
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(x))
    x, y = (x[order] / 16).astype("float32"), y[order]
    split = 3 * len(x) // 4 // BATCH_SIZE * BATCH_SIZE
    return x[:split], y[:split], x[split:], y[split:]


def network(optimizer: str) -> keras.Model:
    """Two hidden layers with BatchNormalization."""
    stack: list[Any] = [keras.Input((64,))]
    for _ in range(2):
        stack += [layers.Dense(64), layers.BatchNormalization(), layers.ReLU()]
    model = keras.Sequential([*stack, layers.Dense(10)])
    rates = {"adam": 1e-3, "sgd": 0.05}
    made = keras.optimizers.get(optimizer)
    made.learning_rate = rates[optimizer]
    if optimizer == "sgd":
        made = keras.optimizers.SGD(rates["sgd"], momentum=0.9)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(made, loss, metrics=["accuracy"])
    return model


class Batches(keras.utils.PyDataset):
    """The same batches in every epoch, with faults in some of the training's batches.

    Args:
        x: Array `(samples, features)`.
        y: Array `(samples,)`.
        faults: Dict from the number of a batch, counted from the beginning of the
            training, to the kind of its fault.
    """

    def __init__(self, x: np.ndarray, y: np.ndarray, faults: dict[int, int]) -> None:
        super().__init__()
        self.x, self.y, self.faults = x, y, faults
        self.epoch = 0
        self.order = np.random.default_rng(0).permutation(len(x))

    def __len__(self) -> int:
        return len(self.x) // BATCH_SIZE

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        rows = self.order[index * BATCH_SIZE : (index + 1) * BATCH_SIZE]
        x, y = self.x[rows], self.y[rows]
        kind = self.faults.get(self.epoch * len(self) + index)
        if kind == 0:
            x = np.where(np.arange(64) == 20, np.nan, x).astype("float32")
        elif kind == 1:
            x = 1000 * x
        elif kind == 2:
            y = (y + 1) % 10
        return x, y

    def on_epoch_end(self) -> None:
        """Begins the next epoch, with another order."""
        self.epoch += 1
        self.order = np.random.default_rng(self.epoch).permutation(len(self.x))


class LargeSteps(keras.callbacks.Callback):
    """Makes single updates with a learning rate times 10,000."""

    def __init__(self, faults: dict[int, int]) -> None:
        super().__init__()
        self.batches = [batch for batch, kind in faults.items() if kind == 3]
        self.count = 0
        self.rate: float | None = None

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Sets the learning rate, and sets it back."""
        if self.count in self.batches:
            rate = self.model.optimizer.learning_rate
            self.rate = float(keras.ops.convert_to_numpy(rate))
            self.model.optimizer.learning_rate = 1e4 * self.rate
        elif self.rate is not None:
            self.model.optimizer.learning_rate = self.rate
            self.rate = None
        self.count += 1


def accuracy(
    optimizer: str, seed: int, epochs: int, callbacks: list[Any], faulty: bool
) -> tuple[float, list[float]]:
    """Accuracy on the held-out quarter, and the losses of the epochs."""
    keras.utils.set_random_seed(seed)
    x, y, x_test, y_test = data(seed)
    num_batches = epochs * (len(x) // BATCH_SIZE)
    faults = {}
    if faulty:
        places = np.linspace(0.15, 0.8, len(ORDER)) * num_batches
        faults = dict(zip(places.astype(int).tolist(), ORDER, strict=True))
    model = network(optimizer)
    history = model.fit(
        Batches(x, y, faults),
        epochs=epochs,
        verbose=0,
        callbacks=[LargeSteps(faults), *callbacks],
    )
    found = model.evaluate(x_test, y_test, verbose=0)[1]
    return 100 * found, history.history["loss"]


def plot(losses: dict[str, list[float]], path: str) -> None:
    """Draws the loss of each epoch of one training for every way."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    for name, numbers in losses.items():
        axes.semilogy(np.arange(1, len(numbers) + 1), numbers, label=name)
    axes.set_xlabel("epoch")
    axes.set_ylabel("training loss")
    axes.legend()
    figure.savefig(path, dpi=100)


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--optimizer", choices=["adam", "sgd"], default="adam")
    parser.add_argument("--only", default="", help="ways whose name has this in it")
    parser.add_argument("--plot", default=None, help="path of a picture")
    options = parser.parse_args()
    print(f"{keras.backend.backend()}, {options.optimizer}, {options.seeds} seeds")
    print("| with | clean | ten faults | difference | worst seed |")
    print("|---|---|---|---|---|")
    losses: dict[str, list[float]] = {}
    for name, make in WAYS.items():
        if options.only not in name:
            continue
        found = []
        for seed in range(options.seeds):
            pair = []
            for faulty in (False, True):
                number, curve = accuracy(
                    options.optimizer, seed, options.epochs, make(), faulty
                )
                pair.append(number)
                if not seed and (faulty or name == "nothing"):
                    losses[name if faulty else "without faults"] = curve
            found.append(pair)
        clean, faulty_ = np.mean(found, axis=0)
        differences = np.diff(found, axis=1)
        print(
            f"| {name} | {clean:.1f} | {faulty_:.1f} | {faulty_ - clean:+.1f} "
            f"| {differences.min():+.1f} |",
            flush=True,
        )
    if options.plot:
        plot(losses, options.plot)


if __name__ == "__main__":
    main()
