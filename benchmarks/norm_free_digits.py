"""Residual nets without normalization against their BatchNorm twin, on digits.

Fifty residual blocks of two dense layers each learn scikit-learn's digits (8 x 8,
1,797 rows, a fifth held out), once with batch normalization and in several ways
without. The twins share width, depth, optimizer, schedule, epochs, split and order of
batches; a seed fixes them and the initial weights. Accuracies are those after the last
epoch, on the held-out rows. The peak learning rate is the one of 0.001 and 0.003 that
is better for the twin with BatchNorm.

- BatchNorm: x + Dense(relu(BN(Dense(relu(BN(x))))))
- SkipInit: the same without BN, the branch times a learned number that starts at 0
- Fixup: the same with Fixup's initialization, scalar biases and multiplier
- SELU: sqrt(1 - 1/50) * x + sqrt(1/50) * SELU layer(SELU layer(x)), LeCun normal

Each arm is compiled once; a seed draws its weights anew and resets the optimizer.
Times are of `fit` after a warm-up epoch, in an order that alternates from seed to seed;
compiling is timed apart. Run on an idle machine:

    KERAS_BACKEND=jax python benchmarks/norm_free_digits.py
"""

import argparse
import time
from collections.abc import Callable

import keras
import numpy as np
from sklearn.datasets import load_digits

from keras_deeptools.layers import (
    NormFreeResidual,
    ScalarBias,
    SelfNormalizingDense,
    SelfNormalizingResidual,
    SkipInit,
    fixup_initializer,
)

layers = keras.layers
BATCH = 64
MOMENTUM = 0.9
"""Of the twin's moving moments: Keras' 0.99 would lag behind in so few steps."""


def batch_norm(width: int, blocks: int) -> Callable:
    """Pre-activation block with batch normalization."""

    def block(x: keras.KerasTensor) -> keras.KerasTensor:
        y = x
        for _ in range(2):
            y = layers.Activation("relu")(
                layers.BatchNormalization(momentum=MOMENTUM)(y)
            )
            y = layers.Dense(width, kernel_initializer="he_normal")(y)
        return layers.Add()([x, y])

    return block


def skip_init(width: int, blocks: int) -> Callable:
    """The same block without normalization."""

    def block(x: keras.KerasTensor) -> keras.KerasTensor:
        branch = []
        for _ in range(2):
            branch.append(layers.Activation("relu"))
            branch.append(layers.Dense(width, kernel_initializer="he_normal"))
        return NormFreeResidual(branch)(x)

    return block


def fixup(width: int, blocks: int) -> Callable:
    """The same block with Fixup's parts."""

    def block(x: keras.KerasTensor) -> keras.KerasTensor:
        branch = []
        for initializer in (fixup_initializer(blocks), "zeros"):
            branch += [ScalarBias(), layers.Activation("relu"), ScalarBias()]
            branch.append(
                layers.Dense(width, use_bias=False, kernel_initializer=initializer)
            )
        return NormFreeResidual(branch, scale=SkipInit(1.0))(x)

    return block


def selu(width: int, blocks: int) -> Callable:
    """Self-normalizing block."""

    def block(x: keras.KerasTensor) -> keras.KerasTensor:
        branch = [SelfNormalizingDense(width) for _ in range(2)]
        return SelfNormalizingResidual(branch, branch_fraction=1 / blocks)(x)

    return block


ARMS = {"BatchNorm": batch_norm, "SkipInit": skip_init, "Fixup": fixup, "SELU": selu}


def net(arm: str, width: int, blocks: int) -> keras.Model:
    """Stem, blocks, head; the twin normalizes before its head, as ResNet v2 does."""
    inputs = keras.Input((64,))
    x = layers.Dense(width, kernel_initializer="lecun_normal")(inputs)
    block = ARMS[arm](width, blocks)
    for _ in range(blocks):
        x = block(x)
    if arm == "BatchNorm":
        x = layers.BatchNormalization(momentum=MOMENTUM)(x)
    if arm != "SELU":
        x = layers.Activation("relu")(x)
    return keras.Model(inputs, layers.Dense(10, "softmax")(x), name=arm)


def split(seed: int) -> tuple[np.ndarray, ...]:
    """Training and held-out rows, standardized by the training rows."""
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(x))
    held, train = order[: len(x) // 5], order[len(x) // 5 :]
    mean, std = x[train].mean(axis=0), x[train].std()
    x = ((x - mean) / std).astype("float32")
    return x[train], y[train], x[held], y[held]


class Arm:
    """One kind of net, compiled once, trained from each seed."""

    def __init__(self, name: str, chosen: argparse.Namespace) -> None:
        self.name, self.epochs = name, chosen.epochs
        self.make = lambda: net(name, chosen.width, chosen.blocks)
        self.model = self.make()
        rows = len(split(0)[0])
        steps = chosen.epochs * -(-rows // BATCH)
        schedule = keras.optimizers.schedules.CosineDecay(chosen.peak, steps)
        self.model.compile(
            keras.optimizers.Adam(schedule),
            "sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        start = time.perf_counter()
        x, y, *held = split(0)
        self.model.fit(x, y, batch_size=BATCH, verbose=0)
        self.model.evaluate(*held, batch_size=BATCH, verbose=0)
        self.compile_seconds = time.perf_counter() - start

    def run(self, seed: int) -> tuple[float, float]:
        """Held-out accuracy in points, seconds per epoch."""
        keras.utils.set_random_seed(seed)
        self.model.set_weights(self.make().get_weights())
        for variable in self.model.optimizer.variables:
            variable.assign(np.zeros(variable.shape))
        x, y, *held = split(seed)
        keras.utils.set_random_seed(seed)
        start = time.perf_counter()
        self.model.fit(x, y, batch_size=BATCH, epochs=self.epochs, verbose=0)
        seconds = (time.perf_counter() - start) / self.epochs
        result = self.model.evaluate(
            *held, batch_size=BATCH, verbose=0, return_dict=True
        )
        return 100 * result["accuracy"], seconds


def main() -> None:
    """Train all arms and print the paired comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--blocks", type=int, default=50)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--peak", type=float, default=3e-3, help="learning rate")
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=ARMS)
    chosen = parser.parse_args()
    print(f"{keras.backend.backend()}, {vars(chosen)}")
    arms = [Arm(name, chosen) for name in chosen.arms]
    accuracy: dict[str, list[float]] = {arm.name: [] for arm in arms}
    seconds: dict[str, list[float]] = {arm.name: [] for arm in arms}
    for seed in range(chosen.seeds):
        for arm in arms if seed % 2 == 0 else reversed(arms):
            points, each = arm.run(seed)
            accuracy[arm.name].append(points)
            seconds[arm.name].append(each)
        row = ", ".join(f"{name} {points[-1]:.2f}" for name, points in accuracy.items())
        print(f"seed {seed}: {row}", flush=True)
    print_table(arms, accuracy, seconds)


def print_table(arms: list[Arm], accuracy: dict, seconds: dict) -> None:
    """Accuracies, paired differences from BatchNorm and ratios of time."""
    twin = arms[0].name
    print(
        f"\n{'':10}{'accuracy':>16}{f'minus {twin}':>20}{'s / epoch':>11}"
        f"{'time ratio':>12}{'range':>13}{'parameters':>12}{'first epoch':>13}"
    )
    for arm in arms:
        points, times = np.array(accuracy[arm.name]), np.array(seconds[arm.name])
        difference = points - np.array(accuracy[twin])
        ratios = np.array(seconds[twin]) / times
        error = [
            values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
            for values in (points, difference)
        ]
        print(
            f"{arm.name:10}{points.mean():9.2f} ± {error[0]:4.2f}"
            f"{difference.mean():+13.2f} ± {error[1]:4.2f}"
            f"{np.median(times):11.3f}{np.median(ratios):11.2f}x"
            f"{f'{ratios.min():.2f}-{ratios.max():.2f}':>13}"
            f"{arm.model.count_params():12,}{arm.compile_seconds:11.1f} s"
        )


if __name__ == "__main__":
    main()
