"""Monte Carlo dropout on Fashion-MNIST, with MNIST as what the net has never seen.

After Gal & Ghahramani, 2016 (https://arxiv.org/abs/1506.02142); unseen pictures as in
Lakshminarayanan et al., 2017, section 3.5 (https://arxiv.org/abs/1612.01474). A small
convolutional net with dropout before its last two layers learns 5,000 images at each
of three dropout rates. 2,000 further images choose the rate, for dropout off by the
likelihood of that, for Monte Carlo dropout by the likelihood of the mean of 50 samples,
and fit the temperature. 4,000 test images judge. A seed draws the images to learn from,
the weights, the batches and the masks.

    python benchmarks/mc_dropout_fashion.py --data fashion_mnist.npz --ood mnist.npz

Files hold x_train, y_train, x_test, y_test. With `--results`, seeds that the file holds
are left out; `--table FILE` only prints it, `--picture` draws it.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
from markdown_table import mean_and_error, print_table, standard_error
from matplotlib.figure import Figure
from scipy.stats import entropy
from sklearn.metrics import roc_auc_score

from keras_deeptools.uncertainty import (
    MCPrediction,
    TemperatureScaling,
    brier_score,
    expected_calibration_error,
    mc_predict,
    negative_log_likelihood,
    risk_coverage_curve,
)

layers = keras.layers
RATES = (0.1, 0.3, 0.5)
NUM_TRAIN, NUM_VALIDATION, NUM_TEST, BATCH = 5_000, 2_000, 4_000, 64
COVERAGES = [round(0.1 * i, 1) for i in range(1, 11)]
SCORES = {
    "accuracy, %": lambda p, y: 100 * float(np.mean(p.argmax(axis=1) == y)),
    "NLL": negative_log_likelihood,
    "Brier": brier_score,
    "ECE": expected_calibration_error,
}


def net(rate: float) -> keras.Model:
    """A small convolutional net, compiled."""
    convolution = {"strides": 2, "padding": "same", "activation": "relu"}
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(16, 5, **convolution),
            layers.Conv2D(32, 3, **convolution),
            layers.Flatten(),
            layers.Dropout(rate),
            layers.Dense(128, "relu"),
            layers.Dropout(rate),
            layers.Dense(10, "softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy")
    return model


def images(path: Path | None, name: str) -> dict[str, np.ndarray]:
    """Arrays of a file, or of the data set of that name in Keras."""
    if path is not None:
        return dict(np.load(path))
    (x, y), (x_test, y_test) = getattr(keras.datasets, name).load_data()
    return {"x_train": x, "y_train": y, "x_test": x_test, "y_test": y_test}


def pixels(x: np.ndarray) -> np.ndarray:
    """Images in [0, 1], with a channel."""
    return (x[..., None] / 255).astype("float32")


def sampled(model: keras.Model, x: np.ndarray, num: int, seed: int) -> MCPrediction:
    """Monte Carlo prediction."""
    return mc_predict(model, x, num, batch_size=500, seed=seed, verbose=0)


def uncertainties(prediction: Any) -> dict[str, np.ndarray]:
    """Measures, large where the net is unsure."""
    is_sampled = isinstance(prediction, MCPrediction)
    p = prediction.mean if is_sampled else prediction
    found = {"max probability": -p.max(axis=1), "entropy": entropy(p, axis=1)}
    if is_sampled:
        found["mutual information"] = prediction.mutual_information
    return found


def predictions(
    off: tuple[keras.Model, TemperatureScaling],
    on: tuple[keras.Model, TemperatureScaling],
    x: np.ndarray,
    seed: int,
) -> dict[str, Any]:
    """Probabilities or `MCPrediction` by method, of a net for each way."""
    silent = off[0].predict(x, batch_size=500, verbose=0)
    many = sampled(on[0], x, 50, seed)
    return {
        "dropout off": silent,
        "dropout off, scaled": off[1].apply(silent),
        "10 samples": sampled(on[0], x, 10, seed),
        "50 samples": many,
        "50 samples, scaled": on[1].apply(many.mean),
    }


def run(data: dict, unseen: np.ndarray, seed: int, epochs: int) -> dict[str, Any]:
    """Trains at every rate, chooses, and measures."""
    order = np.random.default_rng(seed).permutation(len(data["y_train"]))
    rows = np.split(order, [NUM_TRAIN, NUM_TRAIN + NUM_VALIDATION])[:2]
    (x, y), (held, targets) = (
        (pixels(data["x_train"][each]), data["y_train"][each]) for each in rows
    )
    test, labels = pixels(data["x_test"][:NUM_TEST]), data["y_test"][:NUM_TEST]
    models, off, on = [], [], []
    for rate in RATES:
        keras.utils.set_random_seed(seed)
        models.append(net(rate))
        models[-1].fit(x, y, batch_size=BATCH, epochs=epochs, verbose=0)
        off.append(models[-1].predict(held, batch_size=500, verbose=0))
        on.append(sampled(models[-1], held, 50, seed).mean)
    by_rate = {
        name: [negative_log_likelihood(p, targets) for p in found]
        for name, found in {"dropout off": off, "50 samples": on}.items()
    }
    chosen = [int(np.argmin(values)) for values in by_rate.values()]
    pairs = [
        (models[best], TemperatureScaling().fit(p[best], targets))
        for best, p in zip(chosen, (off, on), strict=True)
    ]
    known, other = (predictions(*pairs, each, seed) for each in (test, unseen))
    found: dict[str, Any] = {
        "validation NLL": by_rate,
        "rate": [RATES[best] for best in chosen],
        "temperature": [scaling.temperature for _, scaling in pairs],
    }
    found |= {"scores": {}, "risk": {}, "area": {}, "AUROC": {}}
    for name, prediction in known.items():
        p = prediction.mean if isinstance(prediction, MCPrediction) else prediction
        found["scores"][name] = {key: f(p, labels) for key, f in SCORES.items()}
        elsewhere = uncertainties(other[name])
        for measure, values in uncertainties(prediction).items():
            key = f"{name}: {measure}"
            curve = risk_coverage_curve(p, labels, confidence=-values)
            found["risk"][key] = [curve.risk_at(share) for share in COVERAGES]
            found["area"][key] = curve.area
            source = np.repeat([0, 1], [len(values), len(elsewhere[measure])])
            both = np.concatenate([values, elsewhere[measure]])
            found["AUROC"][key] = float(roc_auc_score(source, both))
    return found


def print_tables(runs: list[dict[str, Any]]) -> None:
    """Rates, scores, selective prediction and detection."""
    print(f"{len(runs)} seeds, {runs[0]['backend']}, {runs[0]['epochs']} epochs")
    for one in runs:
        rates, temperatures = one["rate"], np.round(one["temperature"], 3)
        print(f"seed {one['seed']}: rates (off, on) {rates}, T {temperatures}")
    columns = {
        name: np.transpose([one["validation NLL"][name] for one in runs])
        for name in runs[0]["validation NLL"]
    }
    rows = {
        name: [mean_and_error(v, 4) for v in each] for name, each in columns.items()
    }
    print_table("validation NLL", [f"rate {rate}" for rate in RATES], rows)
    rows = {}
    for name in runs[0]["scores"]:
        each = {key: [one["scores"][name][key] for one in runs] for key in SCORES}
        rows[name] = [mean_and_error(v, 2 if "%" in k else 4) for k, v in each.items()]
        base = [one["scores"]["dropout off"]["NLL"] for one in runs]
        rows[name].append(mean_and_error(np.subtract(each["NLL"], base), 4, "+"))
    print_table("test", [*SCORES, "NLL minus dropout off"], rows)
    shown = (1.0, 0.9, 0.8, 0.5)
    rows = {}
    for key in runs[0]["risk"]:
        right = 100 - 100 * np.array([one["risk"][key] for one in runs])
        rows[key] = [mean_and_error(right[:, COVERAGES.index(c)], 2) for c in shown]
        for name in ("area", "AUROC"):
            rows[key].append(mean_and_error([one[name][key] for one in runs], 4))
    heads = [*(f"{share:.0%}" for share in shown), "AURC", "AUROC, unseen"]
    print_table("accuracy, %, at coverage", heads, rows)


def draw(runs: list[dict[str, Any]], path: Path) -> None:
    """Risk against coverage, and how well each measure finds unseen pictures."""
    figure = Figure((9.5, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    keys = [key for key in runs[0]["risk"] if "10 samples" not in key]
    for place, key in enumerate(keys):
        risks = 100 * np.array([one["risk"][key] for one in runs])
        line = "--" if key.startswith("dropout off") else "-"
        if "scaled" not in key:
            left.plot(COVERAGES, risks.mean(axis=0), line, marker=".", label=key)
        found = [one["AUROC"][key] for one in runs]
        right.errorbar(
            np.mean(found), -place, xerr=standard_error(found), fmt="ok", capsize=3
        )
    left.set(xlabel="coverage", ylabel="error of what is answered, %")
    left.legend(fontsize=7)
    right.set_yticks([-place for place in range(len(keys))], keys, fontsize=7)
    right.set_xlabel("AUROC, unseen against test images")
    figure.savefig(path, dpi=110)


def main() -> None:
    """Run the seeds and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", type=Path, help="fashion_mnist.npz; none: Keras loads it"
    )
    parser.add_argument("--ood", type=Path, help="mnist.npz; none: as --data")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--results", type=Path, help="file to add results to")
    parser.add_argument("--table", type=Path, help="file to print only")
    parser.add_argument("--picture", type=Path, help="where to draw")
    options = parser.parse_args()
    path = options.table or options.results
    runs = json.loads(path.read_text("utf-8")) if path and path.exists() else []
    if not options.table:
        data = images(options.data, "fashion_mnist")
        unseen = pixels(images(options.ood, "mnist")["x_test"][:NUM_TEST])
        for seed in sorted(set(range(options.seeds)) - {one["seed"] for one in runs}):
            start = time.process_time()
            found = run(data, unseen, seed, options.epochs)
            about = {"seed": seed, "backend": keras.backend.backend()}
            about |= {"epochs": options.epochs}
            about |= {"seconds": round(time.process_time() - start, 1)}
            runs.append(about | found)
            print(about, found["scores"], flush=True)
            if options.results:
                options.results.write_text(json.dumps(runs, indent=1) + "\n", "utf-8")
    print_tables(runs)
    if options.picture:
        draw(runs, options.picture)


if __name__ == "__main__":
    main()
