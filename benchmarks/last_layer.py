"""Error of the sampling-free last-layer prediction, against many samples.

    python benchmarks/last_layer.py [--samples 20000] [--rows 400] [--seeds 3]

A network 64-128-dropout-10 is trained on 1,000 digits of scikit-learn for 10 and for
200 epochs: the longer, the larger its logits and their spread, and the harder the
task. `last_layer_predict` is compared on held-out rows with `mc_predict` at so many
samples that their own error is a few thousandths (the root of p (1 - p) / samples).

Printed are the mean and the largest total variation distance between the mean
predictions (half the sum of absolute differences over the classes; the largest is over
rows), for the network without dropout ("silent") and both methods, and the mean
absolute error of the standard deviation of the likeliest class.
"""

import argparse

import keras
import numpy as np
from sklearn.datasets import load_digits

from keras_deeptools.uncertainty import last_layer_predict, mc_predict

RATES = (0.1, 0.3, 0.5)


def trained(rate: float, epochs: int, seed: int) -> tuple[keras.Model, np.ndarray]:
    """The network, and inputs that it has not seen."""
    keras.utils.set_random_seed(seed)
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(x))
    x, y = x[order].astype("float32") / 16, y[order]
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((64,)),
            layers.Dense(128, "relu"),
            layers.Dropout(rate),
            layers.Dense(10, "softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy")
    model.fit(x[:1000], y[:1000], epochs=epochs, batch_size=64, verbose=0)
    return model, x[1000:]


def distances(these: np.ndarray, those: np.ndarray) -> np.ndarray:
    """Total variation distance of every row."""
    return 0.5 * np.abs(these - those).sum(axis=1)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, nargs="*", default=[10, 200])
    arguments = parser.parse_args()
    print(f"{keras.backend.backend()}, {arguments.samples} samples, mean over seeds")
    print(
        f"{'epochs':>6}{'rate':>6}{'logit std':>11}{'silent':>16}{'mean field':>16}"
        f"{'quadrature':>16}{'std error':>11}"
    )
    for epochs in arguments.epochs:
        for rate in RATES:
            rows = []
            for seed in range(arguments.seeds):
                model, x = trained(rate, epochs, seed)
                # Noise, so that not every row is an easy one.
                random = np.random.default_rng(seed)
                x = x[: arguments.rows]
                x = x + 0.3 * random.normal(size=x.shape).astype("float32")
                exact = mc_predict(model, x, arguments.samples, seed=0, verbose=0)
                fine = last_layer_predict(model, x)
                coarse = last_layer_predict(model, x, method="mean_field")
                silent = model.predict(x, verbose=0)
                found = [silent, coarse.mean, fine.mean]
                each = [distances(mean, exact.mean) for mean in found]
                top = exact.mean.argmax(axis=1)[:, None]
                spread = np.take_along_axis(fine.std - exact.std, top, axis=1)
                rows.append(
                    [fine.logit_std.mean()]
                    + [value for d in each for value in (d.mean(), d.max())]
                    + [np.abs(spread).mean()]
                )
            mean = np.mean(rows, axis=0)
            cells = "".join(
                f"{f'{mean[i]:.4f}, {mean[i + 1]:.3f}':>16}" for i in (1, 3, 5)
            )
            print(
                f"{epochs:>6}{rate:>6}{mean[0]:>11.2f}{cells}{mean[7]:>11.4f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
