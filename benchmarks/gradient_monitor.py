"""What watching gradients costs: epochs of `fit` with and without, in turn.

    KERAS_BACKEND=jax python benchmarks/gradient_monitor.py [--model cnn] [--rounds 40]

The same model trains in turn plain, plain again (the control), with the norm alone,
with all four statistics, and with what people do today: a callback that computes the
gradients a second time and brings their norms to the host at every step. Each has a
copy of its own, warmed up; each round runs one epoch of each in a new order. The ratios
are of the `--quantile` of the times, because other processes only add time. A control
outside 0.98 to 1.02 says that the machine was too busy: run again.
"""

import argparse
import contextlib
import random
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from keras_deeptools.callbacks import GradientMonitor
from keras_deeptools.engine import attach

ALL = ("norm", "max_abs", "zero_fraction", "update_ratio")


def mlp(optimizer: str) -> tuple[keras.Model, Any]:
    """Six layers, 512 wide."""
    hidden = [
        layers.Dense(512, "relu", kernel_initializer="he_normal") for _ in "12345"
    ]
    model = keras.Sequential([keras.Input((512,)), *hidden, layers.Dense(10)])
    return compiled(model, optimizer), (512,)


def cnn(optimizer: str) -> tuple[keras.Model, Any]:
    """Three convolutions on 28 x 28 pictures."""
    stack: list[Any] = [keras.Input((28, 28, 1))]
    for filters in (16, 32, 32):
        stack += [layers.Conv2D(filters, 3, padding="same", activation="relu")]
        stack += [layers.MaxPooling2D()]
    model = keras.Sequential([*stack, layers.Flatten(), layers.Dense(10)])
    return compiled(model, optimizer), (28, 28, 1)


def compiled(model: keras.Model, optimizer: str) -> keras.Model:
    """Classification into ten classes."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss)
    return model


class Recomputation(keras.callbacks.Callback):
    """Gradient norms as they are computed today: a second backward pass per batch."""

    def __init__(self, x: np.ndarray, y: np.ndarray, batch_size: int) -> None:
        super().__init__()
        self.x, self.y, self.batch_size = x, y, batch_size
        self.function: Callable | None = None
        self.norms: list[np.ndarray] = []

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Computes and keeps the norms for this batch."""
        model = self.model
        if self.function is None:
            self.function = gradient_norms(model)
        rows = slice(batch * self.batch_size, (batch + 1) * self.batch_size)
        norms = self.function(model, self.x[rows], self.y[rows])
        self.norms.append(ops.convert_to_numpy(norms))


def gradient_norms(model: keras.Model) -> Callable:
    """A compiled function that returns the norm of each gradient."""
    name = keras.backend.backend()
    if name == "tensorflow":
        import tensorflow as tf

        @tf.function(jit_compile=True)
        def tape_norms(x: Any, y: Any) -> Any:
            with tf.GradientTape() as tape:
                loss = model.compute_loss(x, y, model(x, training=True))
            gradients = tape.gradient(loss, model.trainable_variables)
            return tf.stack([tf.norm(gradient) for gradient in gradients])

        return lambda model, x, y: tape_norms(x, y)
    if name == "jax":
        import jax

        def loss_of(trained: list, rest: list, x: Any, y: Any) -> Any:
            outputs, _ = model.stateless_call(trained, rest, x, training=True)
            return model.compute_loss(x, y, outputs)

        @jax.jit
        def grad_norms(trained: list, rest: list, x: Any, y: Any) -> Any:
            gradients = jax.grad(loss_of)(trained, rest, x, y)
            return ops.stack([ops.norm(ops.reshape(g, (-1,))) for g in gradients])

        return lambda model, x, y: grad_norms(
            [v.value for v in model.trainable_variables],
            [v.value for v in model.non_trainable_variables],
            x,
            y,
        )
    import torch

    def torch_norms(model: keras.Model, x: Any, y: Any) -> Any:
        loss = model.compute_loss(x, torch.as_tensor(y), model(x, training=True))
        values = [v.value for v in model.trainable_variables]
        gradients = torch.autograd.grad(loss, values)
        return torch.stack([torch.linalg.vector_norm(g) for g in gradients])

    return torch_norms


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=["mlp", "cnn"], default="mlp")
    parser.add_argument("--optimizer", default="adam")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--quantile", type=float, default=0.1)
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    make = {"mlp": mlp, "cnn": cnn}[options.model]
    shape = make(options.optimizer)[1]
    size = 128 * options.steps
    x = np.random.default_rng(0).normal(size=(size, *shape)).astype("float32")
    y = np.random.default_rng(1).integers(0, 10, size)
    kinds: dict[str, Callable[[], list]] = {
        "plain": list,
        "plain again (control)": list,
        "norm": lambda: [GradientMonitor("norm", on_problem="ignore")],
        "all four statistics": lambda: [GradientMonitor(ALL, on_problem="ignore")],
    }
    if options.peers:
        kinds["recomputed gradients"] = lambda: [Recomputation(x, y, 128)]
    times: dict[str, list[float]] = {kind: [] for kind in kinds}
    runners = {
        kind: Runner(make(options.optimizer)[0], kinds[kind]()) for kind in kinds
    }
    with contextlib.ExitStack() as stack:
        for runner in runners.values():
            stack.enter_context(runner)
            for _ in range(3):
                runner.epoch(x, y)
        for _ in range(options.rounds):
            for kind in random.sample(list(kinds), len(kinds)):
                times[kind].append(runners[kind].epoch(x, y))
    low = {kind: np.quantile(t, options.quantile) for kind, t in times.items()}
    print(
        f"{keras.backend.backend()}, {options.model}, {options.optimizer}: "
        f"{1e3 * low['plain'] / options.steps:.2f} ms per plain step"
    )
    for kind, seconds in low.items():
        best = min(times[kind]) / min(times["plain"])
        print(f"{kind:24} {seconds / low['plain']:.3f} x plain (of minima {best:.3f})")


class Runner:
    """Epochs of one model, with the callbacks attached throughout."""

    def __init__(self, model: keras.Model, callbacks: list) -> None:
        self.model = model
        self.callbacks = callbacks
        self.features = [c for c in callbacks if isinstance(c, GradientMonitor)]
        self.attachment: Any = None

    def __enter__(self) -> "Runner":
        if self.features:
            self.attachment = attach(self.model, *self.features)
        return self

    def __exit__(self, *error: object) -> None:
        if self.attachment is not None:
            self.attachment.detach()

    def epoch(self, x: np.ndarray, y: np.ndarray) -> float:
        """Seconds of one epoch, reading what was recorded included."""
        watch = Stopwatch()
        others = [c for c in self.callbacks if c not in self.features]
        hooks = [_EpochHooks(feature) for feature in self.features]
        self.model.fit(
            x,
            y,
            batch_size=128,
            shuffle=False,
            verbose=0,
            callbacks=[*others, *hooks, watch],
        )
        return watch.seconds


class _EpochHooks(keras.callbacks.Callback):
    """The hooks of a monitor that stays attached between calls of `fit`."""

    def __init__(self, monitor: GradientMonitor) -> None:
        super().__init__()
        self.monitor = monitor

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.monitor.set_model(self.model)
        self.monitor.on_epoch_begin(epoch, logs)

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        self.monitor.on_train_batch_begin(batch, logs)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.monitor.on_epoch_end(epoch, logs)


class Stopwatch(keras.callbacks.Callback):
    """Times the epoch from its first batch to the end of the other callbacks' work."""

    seconds = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Starts."""
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Stops, once the device is done."""
        self.model.get_metrics_result()
        ops.convert_to_numpy(self.model.trainable_variables[0].value)
        self.seconds = time.perf_counter() - self.start


if __name__ == "__main__":
    main()
