"""The last weights against averages of weights, on digits.

A net of four dense layers of 128 with batch normalization learns 1,000 of scikit-
learn's digits (8 x 8), a tenth of them with a wrong label, with SGD (momentum .9) for
40 epochs of batches of 32, at a constant rate of .1 and with 1cycle up to it; 797
rows are held out. Averaging does not change training, so the averages of a row come
from the same run as its last weights; a seed fixes weights, wrong labels and the
order of batches.

Each average is judged with three kinds of statistics in its BatchNormalization layers:
those of training, as they are; their own average, with the same decay; and those that
are computed for it (`batch_norm_data`), over the training rows. Run on any machine:

    KERAS_BACKEND=jax python benchmarks/weight_averaging.py
"""

import argparse

import keras
import numpy as np
from sklearn.datasets import load_digits

from keras_deeptools.callbacks import OneCycleScheduler, WeightAveraging
from keras_deeptools.layers import update_batch_norm

layers = keras.layers
AVERAGES = {"EMA 0.99": (0.99, 0), "EMA 0.999": (0.999, 0), "SWA": (None, 0.75)}
STATISTICS = ("of training", "averaged", "computed")


def digits(seed: int) -> tuple:
    """Rows to train on, some with wrong labels, and rows to judge by."""
    x, y = load_digits(return_X_y=True)
    x = x.astype("float32") / 16
    random = np.random.default_rng(seed)
    order = random.permutation(len(x))
    x, y = x[order], y[order]
    wrong = random.random(1000) < 0.1
    labels = np.where(wrong, (y[:1000] + random.integers(1, 10, 1000)) % 10, y[:1000])
    return x[:1000], labels, x[1000:], y[1000:]


def net(depth: int) -> keras.Model:
    """A compiled net of so many hidden layers."""
    hidden = []
    for _ in range(depth):
        hidden += [layers.Dense(128, use_bias=False), layers.BatchNormalization()]
        hidden += [layers.Activation("relu")]
    model = keras.Sequential([keras.Input((64,)), *hidden, layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss, metrics=["accuracy"])
    return model


def norms(model: keras.Model) -> list:
    """The variables that hold statistics."""
    found = [one for one in model.layers if isinstance(one, layers.BatchNormalization)]
    return [v for one in found for v in one.non_trainable_variables]


class Judge(keras.callbacks.Callback):
    """Judges the last weights and the averages when training ends."""

    def __init__(self, averages: dict, x: np.ndarray, data: tuple) -> None:
        super().__init__()
        self.averages, self.x, self.data = averages, x, data
        self.found: dict = {}
        self.statistics: dict = {}

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Averages the statistics as the weights are averaged."""
        now = [keras.ops.convert_to_numpy(v) for v in norms(self.model)]
        for name, averaging in self.averages.items():
            count = averaging.num_averaged
            if count == 0:
                continue
            keep = min((count - 1) / (count + 9), averaging.decay or 1)
            keep = keep if averaging.decay else 1 - 1 / count
            before = self.statistics.get(name, now)
            self.statistics[name] = [
                keep * b + (1 - keep) * n for b, n in zip(before, now, strict=True)
            ]

    def on_train_end(self, logs: dict | None = None) -> None:
        """Judges the last weights, and each average with each kind of statistics."""
        model = self.model
        own = [np.array(keras.ops.convert_to_numpy(v)) for v in norms(model)]
        self.found["last weights", "of training"] = self.judge()
        for name, averaging in self.averages.items():
            with averaging.shown():
                self.found[name, "of training"] = self.judge()
                self.assign(self.statistics[name])
                self.found[name, "averaged"] = self.judge()
                update_batch_norm(model, self.x, batch_size=250)
                self.found[name, "computed"] = self.judge()
            self.assign(own)

    def assign(self, values: list) -> None:
        """Sets the statistics."""
        for variable, value in zip(norms(self.model), values, strict=True):
            variable.assign(value)

    def judge(self) -> tuple[float, float]:
        """Accuracy in percent and log loss on the held-out rows."""
        logs = self.model.evaluate(*self.data, batch_size=797, verbose=0)
        return 100 * logs[1], logs[0]


def run(seed: int, one_cycle: bool, epochs: int, depth: int) -> dict:
    """Trains once, and returns what was found for each row of the table."""
    x, y, *held_out = digits(seed)
    keras.utils.set_random_seed(seed)
    averages = {
        name: WeightAveraging(decay, start=start, validated=False, kept=False)
        for name, (decay, start) in AVERAGES.items()
    }
    judge = Judge(averages, x, tuple(held_out))
    rate = [OneCycleScheduler(0.1)] if one_cycle else []
    model = net(depth)
    model.fit(
        x,
        y,
        batch_size=32,
        epochs=epochs,
        verbose=0,
        callbacks=[judge, *rate, *averages.values()],
    )
    return judge.found


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--depth", type=int, default=4)
    arguments = parser.parse_args()
    print(
        "| rate | weights | statistics | error, % | log loss |\n|---|---|---|---|---|"
    )
    for one_cycle in (False, True):
        runs = [
            run(seed, one_cycle, arguments.epochs, arguments.depth)
            for seed in range(arguments.seeds)
        ]
        for key in runs[0]:
            accuracy, loss = np.array([each[key] for each in runs]).T
            error = 100 - accuracy
            print(
                f"| {'1cycle' if one_cycle else 'constant'} | {key[0]} | {key[1]} "
                f"| {error.mean():.2f} ± {error.std():.2f} "
                f"| {loss.mean():.3f} ± {loss.std():.3f} |"
            )


if __name__ == "__main__":
    main()
