"""How fast `mc_predict` is against the loops that people write, and how much it needs.

    KERAS_BACKEND=jax python benchmarks/mc_predict.py [--parts mlp ...] [--tiny]

mobilenet   MobileNetV2 (96 x 96, random weights), pooling, dropout, Dense; 256 rows,
            T=100. Against `model(x, training=True)` in a loop (which also turns
            BatchNormalization to batch statistics), and against a compiled
            `predict_on_batch` of a model with the dropout always on.
mlp         784-1024-1024-1024-10 with dropout after every hidden layer, T=100,
            against a compiled `predict_on_batch` with dropout on, batches of 32;
            for 256 rows and for one.
distribution  The same network, 64 rows, T=1000: means and standard deviations of
            `mc_predict` against those of the compiled loop.
memory      Peak memory of the process after T=100 and after T=10,000.

Loops are timed over fewer passes, as printed, and scaled to 100. Everything is warmed
up first: compiling is not in the times, and is printed on its own for `mc_predict`.
Times are the fastest of the repeats, and the slowest in brackets.
"""

import argparse
import resource
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from markdown_table import print_table

from keras_deeptools.uncertainty import mc_predict

NUM_SAMPLES = 100


class AlwaysOn(keras.Model):
    """A head after a body, with dropout on in the head whatever `training` says."""

    def __init__(self, head: keras.Model, body: keras.Model | None = None) -> None:
        super().__init__()
        self.body = body
        self.head = head

    def call(self, x: Any, training: bool | None = None) -> Any:
        """Runs both."""
        if self.body is not None:
            x = self.body(x, training=False)
        return self.head(x, training=True)


def times(function: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Seconds of the fastest and of the slowest call."""
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        found.append(time.perf_counter() - start)
    return min(found), max(found)


def batches_of(x: np.ndarray) -> list[np.ndarray]:
    """Batches of 32 rows."""
    return [x[i : i + 32] for i in range(0, len(x), 32)]


def loop_times(
    step: Callable[[np.ndarray], Any], x: np.ndarray, passes: int, repeats: int
) -> tuple[float, float]:
    """Seconds of 100 passes over `x`, scaled from fewer."""

    def run() -> None:
        for _ in range(passes):
            for batch in batches_of(x):
                np.asarray(keras.ops.convert_to_numpy(step(batch)))

    scale = NUM_SAMPLES / passes
    fastest, slowest = times(run, repeats)
    return fastest * scale, slowest * scale


def row(peer: tuple[float, float], ours: tuple[float, float]) -> list[str]:
    """Both times, and how many times as long as ours the loop takes."""
    return [
        f"{peer[0]:.3f} s ({peer[1]:.3f})",
        f"{ours[0]:.4f} s ({ours[1]:.4f})",
        f"{peer[0] / ours[0]:.1f}",
    ]


COLUMNS = ("loop", "`mc_predict`", "loop over `mc_predict`")


def mc_times(model: keras.Model, x: np.ndarray, repeats: int) -> tuple[float, float]:
    """Seconds of `mc_predict` once warm; the cold time is printed."""

    def run() -> Any:
        return mc_predict(model, x, NUM_SAMPLES, seed=0, verbose=0)

    print(f"first call with compiling: {times(run, 1)[0]:.2f} s", flush=True)
    return times(run, repeats)


def mobilenet(tiny: bool) -> None:
    """A large trunk without dropout and a small head."""
    size = 32 if tiny else 96
    body = keras.applications.MobileNetV2(
        (size, size, 3), alpha=0.35 if tiny else 1.0, include_top=False, weights=None
    )
    stack = [
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dropout(0.5),
        keras.layers.Dense(10, "softmax"),
    ]
    head = keras.Sequential([keras.Input(body.output_shape[1:]), *stack])
    model = keras.Sequential([keras.Input((size, size, 3)), body, head])
    x = np.random.default_rng(0).normal(size=(32 if tiny else 256, size, size, 3))
    x = x.astype("float32")
    ours = mc_times(model, x, repeats=3)
    always = AlwaysOn(head, body)
    always.compile()
    always.predict_on_batch(x[:32])
    compiled = loop_times(always.predict_on_batch, x, 2, repeats=2)
    model(x[:32], training=True)
    called = loop_times(lambda batch: model(batch, training=True), x, 1, repeats=1)
    rows = {
        "compiled predict, 2 passes": row(compiled, ours),
        "`model(x, training=True)`, 1 pass": row(called, ours),
    }
    print_table(f"MobileNetV2, {len(x)} rows", COLUMNS, rows)


def perceptron(tiny: bool) -> keras.Sequential:
    """784-1024-1024-1024-10 with dropout after every hidden layer."""
    units = 32 if tiny else 1024
    stack: list[keras.Layer] = []
    for _ in range(3):
        stack += [keras.layers.Dense(units, "relu"), keras.layers.Dropout(0.1)]
    stack.append(keras.layers.Dense(10, "softmax"))
    return keras.Sequential([keras.Input((784,)), *stack])


def some_rows(count: int) -> np.ndarray:
    """Rows for the perceptron."""
    return np.random.default_rng(0).normal(size=(count, 784)).astype("float32")


def mlp(tiny: bool) -> None:
    """Dropout early, so that nearly all of the model is repeated."""
    model = perceptron(tiny)
    always = AlwaysOn(model)
    always.compile()
    found = {}
    for count, passes in ((256, 10), (1, 100)):
        x = some_rows(count)
        always.predict_on_batch(x[:32])
        ours = mc_times(model, x, repeats=7)
        peer = loop_times(always.predict_on_batch, x, passes, repeats=3)
        size = "one row" if count == 1 else f"{count} rows"
        found[f"compiled predict, {size}, {passes} passes"] = row(peer, ours)
    print_table("784-1024-1024-1024-10", COLUMNS, found)


def distribution(tiny: bool) -> None:
    """Whether the samples are distributed as the loop's."""
    model, x = perceptron(tiny), some_rows(64)
    always = AlwaysOn(model)
    always.compile()
    num_samples = 1000
    found = mc_predict(model, x, num_samples, seed=0, verbose=0)
    loop = np.stack(
        [
            np.concatenate([always.predict_on_batch(b) for b in batches_of(x)])
            for _ in range(num_samples)
        ]
    )
    error = np.sqrt(found.std**2 + loop.std(axis=0) ** 2) / np.sqrt(num_samples)
    z = (found.mean - loop.mean(axis=0)) / error
    ratio = found.std.mean() / loop.std(axis=0).mean()
    print(
        f"means: z of rms {np.sqrt(np.square(z).mean()):.3f} (1 expected), largest "
        f"{np.abs(z).max():.2f} of {z.size}; pooled standard deviations: ratio "
        f"{ratio:.4f}",
        flush=True,
    )


def memory(tiny: bool) -> None:
    """Peak memory of the process, which starts with the backend's own."""
    model, x = perceptron(True), some_rows(256)
    peaks = []
    for num_samples in (100, 10_000):
        mc_predict(model, x, num_samples, seed=0, verbose=0)
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    print(
        f"peak memory: {peaks[0]:.0f} MiB after T=100, {peaks[1]:.0f} MiB after "
        f"T=10,000: {peaks[1] / peaks[0]:.3f} x",
        flush=True,
    )


PARTS = {
    "memory": memory,
    "mlp": mlp,
    "distribution": distribution,
    "mobilenet": mobilenet,
}


def main() -> None:
    """Run the chosen parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--tiny", action="store_true", help="small, to try it out")
    options = parser.parse_args()
    for part in options.parts:
        keras.utils.set_random_seed(0)
        print(f"\n{part}, {keras.backend.backend()}", flush=True)
        PARTS[part](options.tiny)


if __name__ == "__main__":
    main()
