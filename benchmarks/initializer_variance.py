"""The variance that layers really have at the start, with Keras' fans and with ours.

    KERAS_BACKEND=jax python benchmarks/initializer_variance.py [--seeds 20]

For each kind of layer and inputs N(0, 1): the second moment of the outputs over the
target, averaged over seeds, with the standard deviation over seeds. "He" is Keras'
`he_normal` beside `initializer_for("relu", layer)`, whose target is gain ** 2 = 2;
"Glorot" is `glorot_uniform` beside `mode="fan_avg"`, whose target is 2 fan-in /
(fan-in + fan-out) for the fans that the layer has. Convolutions have no padding, so
that every pixel has a whole window. `--gains` prints the table of gains in place of
that, `--model` the standard deviation of the features of a fresh MobileNetV2 and after
`initialize`. The tables are Markdown; they stand in docs/guides/initialization.md.
"""

import argparse
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from keras_deeptools.initializers import fans, gain, initialize, initializer_for

ACTIVATIONS = (
    "relu",
    "selu",
    "elu",
    "gelu",
    "silu",
    "mish",
    "tanh",
    "softsign",
    "sigmoid",
    "relu6",
    "leaky_relu",
    "softplus",
    "hard_silu",
)

Case = tuple[str, tuple[int, ...], Callable[[Any], Any], dict[str, Any]]


def convolution(cls: Any, argument: str = "kernel", **settings: Any) -> Callable:
    """Makes a layer of `cls` with an initializer for the weights called `argument`."""
    name = f"{argument}_initializer"
    return lambda initializer: cls(**{name: initializer}, **settings)


class Gates(keras.Layer):
    """The pre-activations of the gates of a recurrent layer, for a zero state."""

    def __init__(self, cls: Any, initializer: Any) -> None:
        super().__init__()
        self.rnn = cls(64, kernel_initializer=initializer)

    def build(self, shape: tuple[int, ...]) -> None:
        """Make the cell's weights."""
        self.rnn.build((None, None, shape[-1]))

    def call(self, x: Any) -> Any:
        """Apply the input kernel."""
        return ops.matmul(x, self.rnn.cell.kernel)


CASES: list[Case] = [
    ("Dense", (256, 64), convolution(layers.Dense, units=128), {"layer": "dense"}),
    (
        "Conv2D",
        (8, 12, 12, 32),
        convolution(layers.Conv2D, filters=64, kernel_size=3),
        {"layer": "conv"},
    ),
    (
        "Conv2D, 4 groups",
        (8, 12, 12, 32),
        convolution(layers.Conv2D, filters=64, kernel_size=3, groups=4),
        {"layer": "conv", "groups": 4},
    ),
    (
        "DepthwiseConv2D",
        (8, 12, 12, 64),
        convolution(layers.DepthwiseConv2D, "depthwise", kernel_size=3),
        {"layer": "depthwise_conv"},
    ),
    (
        "SeparableConv2D",
        (8, 12, 12, 64),
        lambda initializer: layers.SeparableConv2D(
            64,
            3,
            depthwise_initializer=initializer,
            pointwise_initializer="lecun_normal",
        ),
        {"layer": "separable_conv", "role": "depthwise_kernel"},
    ),
    (
        "Conv2DTranspose, stride 2",
        (8, 12, 12, 64),
        convolution(layers.Conv2DTranspose, filters=32, kernel_size=3, strides=2),
        {"layer": "conv_transpose", "strides": 2},
    ),
    (
        "Conv3D",
        (4, 6, 6, 6, 16),
        convolution(layers.Conv3D, filters=32, kernel_size=3),
        {"layer": "conv"},
    ),
    ("LSTM, gates", (256, 64), lambda it: Gates(layers.LSTM, it), {"layer": "lstm"}),
    (
        "EinsumDense (attention)",
        (64, 10, 64),
        convolution(
            layers.EinsumDense, equation="abc,cde->abde", output_shape=(None, 4, 16)
        ),
        {"layer": "attention"},
    ),
]


def variance(make: Any, initializer: Any, shape: tuple[int, ...], seed: int) -> float:
    """Second moment of a layer's outputs over that of its inputs."""
    x = np.random.default_rng(seed).normal(size=shape).astype("float32")
    layer = make(initializer)
    y = ops.convert_to_numpy(layer(x))
    if isinstance(layer, layers.Conv2DTranspose):
        y = y[:, 4:-5, 4:-5]
    return float(np.mean(np.square(y)) / np.mean(np.square(x)))


def targets(make: Any, shape: tuple[int, ...], settings: dict) -> tuple[float, float]:
    """The second moments that He's and Glorot's rules are meant to give."""
    layer = make("zeros")
    layer.build(shape)
    cell = layer.rnn.cell if isinstance(layer, Gates) else layer
    kernel = getattr(cell, settings.get("role", "kernel"))
    known = cell if settings["layer"] == "attention" else settings["layer"]
    fan_in, fan_out = fans(tuple(kernel.shape), **(settings | {"layer": known}))
    return gain("relu") ** 2, 2 * fan_in / (fan_in + fan_out)


def variances(num_seeds: int) -> None:
    """Print the table of variances."""
    print(f"Keras {keras.version()} on {keras.backend.backend()}, {num_seeds} seeds")
    print("\n| layer | He, Keras | He, ours | Glorot, Keras | Glorot, ours |")
    print("|---|---|---|---|---|")
    for name, shape, make, settings in CASES:
        he, glorot = targets(make, shape, settings)
        uniform = {"mode": "fan_avg", "distribution": "uniform"} | settings
        columns = [
            (keras.initializers.HeNormal, {}, he),
            (initializer_for, {"activation": "relu"} | settings, he),
            (keras.initializers.GlorotUniform, {}, glorot),
            (initializer_for, uniform, glorot),
        ]
        cells = []
        for maker, arguments, target in columns:
            ratios = [
                variance(make, maker(seed=seed, **arguments), shape, seed) / target
                for seed in range(num_seeds)
            ]
            cells.append(f"{np.mean(ratios):.3f} ± {np.std(ratios):.3f}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def gains() -> None:
    """Print the table of gains."""
    print("| activation | `gain` | `gain(centered=True)` |\n|---|---|---|")
    for name in ACTIVATIONS:
        print(f"| {name} | {gain(name):.4f} | {gain(name, centered=True):.4f} |")


def features(num_seeds: int) -> None:
    """Print the spread of a fresh model's features, with both initializations."""
    print(f"Keras {keras.version()} on {keras.backend.backend()}, {num_seeds} seeds")
    x = np.random.default_rng(0).normal(size=(8, 96, 96, 3)).astype("float32")
    spreads: dict[str, list[float]] = {"Keras": [], "initialize": []}
    for seed in range(num_seeds):
        keras.utils.set_random_seed(seed)
        model = keras.applications.MobileNetV2(
            (96, 96, 3), include_top=False, weights=None
        )
        for name, values in spreads.items():
            if name == "initialize":
                initialize(model, seed=seed)
            values.append(float(np.std(ops.convert_to_numpy(model(x, training=False)))))
    for name, values in spreads.items():
        each = ", ".join(f"{value:.2g}" for value in values)
        print(f"| {name} | {np.median(values):.2g} | {each} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--gains", action="store_true")
    parser.add_argument("--model", action="store_true")
    options = parser.parse_args()
    keras.utils.set_random_seed(0)
    if options.gains:
        gains()
    elif options.model:
        features(options.seeds)
    else:
        variances(options.seeds)
