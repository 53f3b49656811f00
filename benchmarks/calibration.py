"""Calibration of a small network on digits, before and after temperature scaling.

    python benchmarks/calibration.py [--seeds 5] [--picture docs/images/calibration.png]

An MLP (64-128-128-10, dropout .3) is trained for 100 epochs on 600 of the 1,797 digits
of scikit-learn, with pixels in [0, 1] and Gaussian noise of standard deviation .4 on
them, which leaves room for error and makes the network too sure of itself. The
temperature is fitted on 400 rows, everything is measured on the other 797. Monte Carlo
predictions take 200 masks. Printed are mean and standard deviation over seeds, which
vary the split, the noise and the weights.
"""

import argparse

import keras
import numpy as np
from sklearn.datasets import load_digits

from keras_deeptools.uncertainty import (
    TemperatureScaling,
    brier_score,
    expected_calibration_error,
    mc_predict,
    negative_log_likelihood,
    reliability_diagram,
    risk_coverage_curve,
)

NOISE = 0.4
NUM_TRAINED, NUM_FITTED = 600, 400


def digits(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Shuffled images in [0, 1] with noise on them, and labels."""
    random = np.random.default_rng(seed)
    x, y = load_digits(return_X_y=True)
    order = random.permutation(len(x))
    x = x[order] / 16 + NOISE * random.normal(size=x.shape)
    return x.astype("float32"), y[order]


def trained(x: np.ndarray, y: np.ndarray, epochs: int) -> keras.Model:
    """The network after training."""
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((64,)),
            layers.Dense(128, "relu"),
            layers.Dropout(0.3),
            layers.Dense(128, "relu"),
            layers.Dropout(0.3),
            layers.Dense(10, "softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=epochs, batch_size=64, verbose=0)
    return model


def predictions(seed: int, epochs: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Probabilities of the held-out rows by name of method, and their labels."""
    keras.utils.set_random_seed(seed)
    x, y = digits(seed)
    model = trained(x[:NUM_TRAINED], y[:NUM_TRAINED], epochs)
    fitted = slice(NUM_TRAINED, NUM_TRAINED + NUM_FITTED)
    rest = slice(NUM_TRAINED + NUM_FITTED, None)
    found = {}
    for name in ("plain", "Monte Carlo"):
        if name == "plain":
            on_fitted, on_rest = (
                model.predict(x[rows], verbose=0) for rows in (fitted, rest)
            )
        else:
            on_fitted, on_rest = (
                mc_predict(model, x[rows], 200, seed=seed, verbose=0).mean
                for rows in (fitted, rest)
            )
        scaling = TemperatureScaling().fit(on_fitted, y[fitted])
        found[name] = on_rest
        found[f"{name}, scaled"] = scaling.apply(on_rest)
        print(f"seed {seed}, {name}: temperature {scaling.temperature:.3f}", flush=True)
    return found, y[rest]


def measures(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """What the table shows."""
    curve = risk_coverage_curve(probabilities, labels)
    return {
        "error": float((probabilities.argmax(axis=1) != labels).mean()),
        "ECE": expected_calibration_error(probabilities, labels),
        "adaptive": expected_calibration_error(
            probabilities, labels, binning="adaptive"
        ),
        "NLL": negative_log_likelihood(probabilities, labels),
        "Brier": brier_score(probabilities, labels),
        "excess AURC": curve.excess_area,
    }


def draw(probabilities: dict[str, np.ndarray], labels: np.ndarray, path: str) -> None:
    """Two diagrams side by side."""
    from matplotlib.figure import Figure

    figure = Figure((9, 4.2), layout="constrained")
    shown = {"plain": "before", "plain, scaled": "after temperature scaling"}
    for ax, (name, title) in zip(figure.subplots(1, 2), shown.items(), strict=True):
        diagram = reliability_diagram(probabilities[name], labels, num_bins=10)
        diagram.plot(ax)
        error = diagram.expected_calibration_error
        ax.set_title(f"{title}\nexpected calibration error {error:.3f}")
    figure.savefig(path, dpi=110)


def main() -> None:
    """Print the table, and draw the first seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--picture", default=None)
    arguments = parser.parse_args()
    tables: dict[str, list[dict[str, float]]] = {}
    for seed in range(arguments.seeds):
        found, labels = predictions(seed, arguments.epochs)
        if seed == 0 and arguments.picture:
            draw(found, labels, arguments.picture)
        for name, probabilities in found.items():
            tables.setdefault(name, []).append(measures(probabilities, labels))
    print(f"\n{keras.backend.backend()}, {arguments.seeds} seeds: mean +- deviation")
    names = list(tables["plain"][0])
    print(f"{'':22}" + "".join(f"{name:>18}" for name in names))
    for method, rows in tables.items():
        cells = ""
        for name in names:
            values = [row[name] for row in rows]
            cells += f"{f'{np.mean(values):.4f} +- {np.std(values):.4f}':>18}"
        print(f"{method:22}{cells}")


if __name__ == "__main__":
    main()
