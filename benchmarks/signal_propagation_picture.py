"""Draws `docs/images/signal-propagation.png`: Glorot and Bengio's standard network.

    KERAS_BACKEND=jax python benchmarks/signal_propagation_picture.py [--path FILE]

Prints, for the standard and the normalized initialization, the standard deviation of
every layer's outputs and the ratio of the gradients at the first and the last layer, as
mean and spread over seeds.
"""

import argparse

import keras
import numpy as np

from keras_deeptools.diagnosis import SignalPropagation, signal_propagation

WIDTH = 1000
LIMITS = {"standard": WIDTH**-0.5, "normalized": (6 / (2 * WIDTH)) ** 0.5}


def measured(limit: float, seed: int) -> SignalPropagation:
    """Five tanh layers on normal inputs, a softmax on top."""
    keras.utils.set_random_seed(seed)
    init = keras.initializers.RandomUniform(-limit, limit)
    hidden = [
        keras.layers.Dense(WIDTH, "tanh", kernel_initializer=init, name=f"layer_{i}")
        for i in range(1, 6)
    ]
    last = keras.layers.Dense(10, "softmax", kernel_initializer=init, name="output")
    model = keras.Sequential([keras.Input((WIDTH,)), *hidden, last])
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(300, WIDTH)), rng.integers(0, 10, 300)
    return signal_propagation(model, x, y, "sparse_categorical_crossentropy")


def main() -> None:
    """Measures, prints and draws."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--path", default="docs/images/signal-propagation.png")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    for name, limit in LIMITS.items():
        results = [measured(limit, seed) for seed in range(options.seeds)]
        stds = np.array([[layer.std for layer in r.layers[:5]] for r in results])
        back = [r.layers[0].gradient_std / r.layers[4].gradient_std for r in results]
        print(name, "std by layer", stds.mean(0).round(3), "+-", stds.std(0).round(3))
        print(name, f"gradient 1/5 {np.mean(back):.3f} +- {np.std(back):.3f}")
        if name == "standard":
            results[0].plot(options.path)


if __name__ == "__main__":
    main()
