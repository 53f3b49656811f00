"""Glorot and Bengio, 2010, figures 2, 3, 6 to 9 and 11, from our runs.

    KERAS_BACKEND=jax python benchmarks/glorot_figures.py --runs FILE [--folder images]

`glorot-initialization.png` (figures 6, 7 and 8) is measured here: five tanh layers of
1,000 units before training, 300 images of Shapeset-3x2; the deviations by layer, those
of gradients as multiples of the last hidden layer's, are printed with their standard
error over seeds. The others are drawn from the runs that
`glorot_2010.py --results FILE` wrote, layers from seed 0: `glorot-activations.png`
(figures 2 and 3), `glorot-training.png` (figures 11 and 9).
"""

import argparse
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
from glorot_data import shapeset
from glorot_networks import LOSS, METHODS
from matplotlib.figure import Figure

from keras_deeptools.diagnosis import SignalPropagation, signal_propagation

TANH = {"standard": "Tanh", "normalized": "Tanh N"}
SHOWN = {
    "outputs": ("std", "activations"),
    "back-propagated gradients": ("gradient_std", "gradients"),
    "gradients of weights": ("weight_gradient_std", "weight_gradients"),
}
"""What is measured, and the names of its deviation and sample in a `LayerSignal`."""
BINS = 61


def at_the_start(name: str, width: int, seed: int) -> SignalPropagation:
    """A network before training."""
    data = shapeset()
    keras.utils.set_random_seed(seed)
    model = METHODS[name].network(data.test[0].shape[1], data.num_classes, width)
    x, y = (part[:300] for part in data.test)
    return signal_propagation(model, x, y, LOSS)


def initialization(folder: Path, width: int, seeds: int) -> None:
    """Prints the deviations by layer and draws the histograms of the first seed."""
    found = {
        start: [at_the_start(name, width, seed) for seed in range(seeds)]
        for start, name in TANH.items()
    }
    depth = METHODS["Tanh"].depth
    heads = " | ".join(f"layer {i + 1}" for i in range(depth))
    print(f"| deviation of | initialization | {heads} |\n|---|---|{'---|' * depth}")
    for title, (std, _) in SHOWN.items():
        for start, results in found.items():
            rows = [[getattr(r.layers[i], std) for i in range(depth)] for r in results]
            if title != "outputs":
                rows = [np.divide(row, row[-1]) for row in rows]
            mean = np.mean(rows, axis=0)
            error = np.std(rows, axis=0, ddof=1) / np.sqrt(seeds)
            cells = [f"{m:.3f} ± {e:.3f}" for m, e in zip(mean, error, strict=True)]
            print(f"| {title} | {start} | {' | '.join(cells)} |")
    figure = Figure((10, 5), layout="constrained")
    axes = figure.subplots(2, len(SHOWN))
    for column, (title, (_, sample)) in enumerate(SHOWN.items()):
        for row, (start, results) in enumerate(found.items()):
            samples = [getattr(results[0].layers[i], sample) for i in range(depth)]
            reach = max(np.percentile(np.abs(values), 99) for values in samples)
            edges = np.linspace(-reach, reach, BINS + 1)
            for index, values in enumerate(samples):
                share = 100 * np.histogram(values, edges)[0] / values.size
                axes[row, column].plot(
                    (edges[1:] + edges[:-1]) / 2, share, label=f"layer {index + 1}"
                )
            axes[row, column].set_title(f"{title}, {start}", fontsize=9)
            axes[row, column].ticklabel_format(style="sci", scilimits=(-2, 2))
    axes[0, 0].legend(fontsize=7)
    for ax in axes[:, 0]:
        ax.set_ylabel("% of values in bin")
    figure.savefig(folder / "glorot-initialization.png", dpi=110)


def activations(folder: Path, runs: list[dict[str, Any]]) -> None:
    """Draws how each layer's outputs are spread while training goes on."""
    figure = Figure((10, 3.4), layout="constrained")
    for ax, name in zip(
        figure.subplots(1, 3), ("Sigmoid", "Tanh", "Softsign"), strict=True
    ):
        (run,) = [r for r in runs if r["method"] == name and "layers" in r]
        values = np.array(run["layers"])
        at = np.linspace(0, run["updates"], len(values))
        for layer in range(values.shape[1]):
            mean, std, low, high = values[:, layer, :4].T
            color = f"C{layer}"
            if name == "Sigmoid":
                ax.errorbar(
                    at,
                    mean,
                    std,
                    color=color,
                    elinewidth=0.6,
                    label=f"layer {layer + 1}",
                )
            else:
                ax.plot(at, std, color=color, label=f"layer {layer + 1}")
                ax.plot(at, high, ".", at, low, ".", color=color, markersize=3)
        ax.set_xlabel("updates")
        shown = (
            "mean and deviation"
            if name == "Sigmoid"
            else "deviation (lines), 1% and 99% (dots)"
        )
        ax.set_title(f"{name}: {shown}", fontsize=8)
        place = {} if name == "Sigmoid" else {"ncols": 2, "loc": (0.25, 0.36)}
        ax.legend(fontsize=6, **place)
    figure.savefig(folder / "glorot-activations.png", dpi=110)


def training(folder: Path, runs: list[dict[str, Any]]) -> None:
    """Draws validation errors and the weights' gradients while training goes on."""
    figure = Figure((10, 3.4), layout="constrained")
    errors, *gradients = figure.subplots(1, 3)
    for name in METHODS:
        every = [r for r in runs if r["method"] == name and "test" in r]
        curve = np.mean([r["validation"] for r in every], axis=0)
        at = np.linspace(0, every[0]["updates"], len(curve) + 1)[1:]
        errors.plot(at, curve, label=name)
    errors.set(xlabel="updates", ylabel="validation error, %")
    errors.legend(fontsize=7)
    for ax, (start, name) in zip(gradients, TANH.items(), strict=True):
        (run,) = [r for r in runs if r["method"] == name and "layers" in r]
        values = np.array(run["weight_gradients"])
        at = np.linspace(0, run["updates"], len(values) + 1)[1:]
        for layer in range(values.shape[1]):
            ax.plot(at, values[:, layer], label=f"layer {layer + 1}")
        ax.set_yscale("log")
        ax.set_xlabel("updates")
        ax.set_title(f"gradients of weights, Tanh, {start}", fontsize=8)
    limits = [ax.get_ylim() for ax in gradients]
    for ax in gradients:
        ax.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
    gradients[0].legend(fontsize=7)
    figure.savefig(folder / "glorot-training.png", dpi=110)


def main() -> None:
    """Draws all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, help="what glorot_2010.py wrote")
    parser.add_argument("--folder", type=Path, default=Path("docs/images"))
    parser.add_argument("--width", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    if options.runs:
        every = json.loads(options.runs.read_text())
        runs = [run for run in every if run["data"] == "shapeset"]
        activations(options.folder, runs)
        training(options.folder, runs)
    initialization(options.folder, options.width, options.seeds)


if __name__ == "__main__":
    main()
