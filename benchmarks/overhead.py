"""What the callbacks cost: epochs of `fit` with and without, in turn.

    KERAS_BACKEND=jax python benchmarks/overhead.py [--model cnn] [--rounds 40]
        [--only AdaptiveGradientClipping SpikeGuard]

The same model trains in turn plain, plain again (the control), with each callback, with
what people do today in its place, and with each optimizer of this package in the place
of Adam. Each has a copy of its own, warmed up; each round runs one epoch of each in a
new order. A control outside 0.98 to 1.02 says that the machine was too busy: run again.
Epochs are short, so that many fall into quiet spells of the machine; the work at the
end of an epoch is timed apart and added to epochs of the length that `--epoch` says.
Prints a Markdown table.
"""

import argparse
import functools
import time
from typing import Any

import keras
import numpy as np
from keras import layers
from side_by_side import BATCH_SIZE, CONTROL, PLAIN, compare
from todays_ways import LearningRatePerBatch, MaxNormPerBatch, RecomputedGradients

from keras_deeptools import optimizers
from keras_deeptools.callbacks import (
    AccumulationScheduler,
    AdaptiveGradientClipping,
    CautiousUpdates,
    GradientCentralizer,
    GradientMonitor,
    MaxNormEnforcer,
    OneCycleScheduler,
    PercentileClipping,
    SharpnessAwareMinimization,
    SpikeGuard,
    WeightAveraging,
)
from keras_deeptools.diagnosis import ActivationMonitor, TrainingDoctor
from keras_deeptools.schedules import OneCycle

ALL = ("norm", "max_abs", "zero_fraction", "update_ratio")
TOTAL_STEPS = 10**5
OPTIMIZERS: dict[str, Any] = {
    name: getattr(optimizers, name)
    for name in (
        "RectifiedAdam",
        "AdaBelief",
        "Adan",
        "ADOPT",
        "AdEMAMix",
        "Prodigy",
        "SOAP",
    )
} | {"Lookahead": lambda: optimizers.Lookahead(keras.optimizers.Adam())}


def mlp() -> keras.Model:
    """Six layers, 512 wide."""
    hidden = [
        layers.Dense(512, "relu", kernel_initializer="he_normal") for _ in "12345"
    ]
    return keras.Sequential([keras.Input((512,)), *hidden, layers.Dense(10)])


def cnn() -> keras.Model:
    """Three convolutions on 28 x 28 pictures."""
    stack: list[Any] = [keras.Input((28, 28, 1))]
    for filters in (16, 32, 32):
        stack += [layers.Conv2D(filters, 3, padding="same", activation="relu")]
        stack += [layers.MaxPooling2D()]
    return keras.Sequential([*stack, layers.Flatten(), layers.Dense(10)])


def seconds_to_read(shapes: list[tuple[int, ...]]) -> float:
    """One pass over gradients of these shapes: less no statistic of them can take."""
    gradients = [np.ones(int(np.prod(shape)), "float32") for shape in shapes]
    other = np.ones(2**24, "float32")
    seconds = []
    for _ in range(20):
        other.sum()  # what a training step would have left in the cache instead
        start = time.perf_counter()
        for gradient in gradients:
            np.dot(gradient, gradient)
        seconds.append(time.perf_counter() - start)
    return float(np.quantile(seconds, 0.1))


def wanted(name: str, parts: list[str]) -> bool:
    """Whether a name has one of the parts in it."""
    return any(part in name for part in parts)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=["mlp", "cnn"], default="mlp")
    parser.add_argument("--optimizer", default="adam")
    parser.add_argument("--rounds", type=int, default=120)
    parser.add_argument("--steps", type=int, default=10, help="batches timed at once")
    parser.add_argument("--epoch", type=int, default=100, help="batches in an epoch")
    parser.add_argument(
        "--only",
        nargs="*",
        default=[""],
        help="ways whose names have one of these in them",
    )
    parser.add_argument("--cpu", action="store_true", help="count time of the CPU")
    parser.add_argument("--quantile", type=float, default=0.1)
    options = parser.parse_args()
    build = {"mlp": mlp, "cnn": cnn}[options.model]
    size = BATCH_SIZE * options.steps
    shape = build().input_shape[1:]
    x = np.random.default_rng(0).normal(size=(size, *shape)).astype("float32")
    y = np.random.default_rng(1).integers(0, 10, size)

    def make(new: Any = None) -> keras.Model:
        model = build()
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(new() if new else options.optimizer, loss)
        return model

    rates = OneCycle(1e-3, TOTAL_STEPS).values(np.arange(TOTAL_STEPS)).tolist()
    contenders: dict[str, Any] = {
        "GradientMonitor, norm": lambda: GradientMonitor("norm", on_problem="ignore"),
        "GradientMonitor, all four": lambda: GradientMonitor(ALL, on_problem="ignore"),
        "today: gradients computed again": lambda: RecomputedGradients(x, y),
        "OneCycleScheduler": lambda: OneCycleScheduler(1e-3, total_steps=TOTAL_STEPS),
        "today: rate set before each batch": lambda: LearningRatePerBatch(rates),
        "AdaptiveGradientClipping": lambda: AdaptiveGradientClipping(0.01),
        "PercentileClipping": lambda: PercentileClipping(10),
        "SpikeGuard": SpikeGuard,
        "SharpnessAwareMinimization": SharpnessAwareMinimization,
        "SharpnessAwareMinimization, interval 5": lambda: SharpnessAwareMinimization(
            interval=5
        ),
        "CautiousUpdates": CautiousUpdates,
        "GradientCentralizer": GradientCentralizer,
        "AccumulationScheduler, 1 batch": lambda: AccumulationScheduler({0: 1}),
        "MaxNormEnforcer": lambda: MaxNormEnforcer(1.0),
        "today: get_weights, set_weights": lambda: MaxNormPerBatch(1.0),
        "TrainingDoctor": lambda: TrainingDoctor("ignore"),
        "ActivationMonitor": ActivationMonitor,
        "WeightAveraging": lambda: WeightAveraging(validated=False, kept=False),
    }
    contenders = {k: new for k, new in contenders.items() if wanted(k, options.only)}
    models = {
        name: functools.partial(make, new)
        for name, new in OPTIMIZERS.items()
        if wanted(name, options.only)
    }
    clock = time.process_time if options.cpu else time.perf_counter
    rounds, quantile = options.rounds, options.quantile
    times = compare(make, contenders, x, y, rounds, quantile, models, clock)
    step = np.quantile(times.steps[PLAIN], options.quantile) / options.steps
    print(f"\n{keras.backend.backend()}, {options.model}, {options.optimizer}")
    print(f"{1e3 * step:.2f} ms per plain step; {options.rounds} rounds")
    print(f"| way to train | step | end of epoch | epoch of {options.epoch} |")
    print("|---|---|---|---|")
    for kind in (CONTROL, *contenders, *models):
        steps = f"{times.ratio(kind):.3f} ± {times.spread(kind):.3f}"
        end = 1e3 * (times.end_of_epoch(kind) - times.end_of_epoch(PLAIN))
        whole = times.ratio(kind, options.epoch)
        print(f"| {kind} | {steps} | {max(end, 0):.1f} ms | {whole:.3f} |")
    shapes = [tuple(v.shape) for v in make().trainable_variables]
    floor = 1 + seconds_to_read(shapes) / step
    print(f"| the floor: one read of the gradients | {floor:.3f} | | |")
    if not times.conclusive:
        print("INCONCLUSIVE: the control is over 2% off. Run again on an idle machine.")


if __name__ == "__main__":
    main()
