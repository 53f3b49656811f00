"""Pictures of signals and gradients, layer by layer."""

import math
from typing import Any

import numpy as np

from keras_deeptools._axes import new_panels

MOST_LAYERS = 12
"""Layers that a panel names; of more, every n-th."""

BINS = 60


def plot_signals(result: Any, path: str | None) -> Any:
    """Draws what there is, saves it where asked, and returns the figure."""
    layers = list(result.layers)
    panels = [_spread, _outputs]
    if any(layer.gradients.size for layer in layers):
        panels += [_gradients, _weight_gradients]
    rows = len(panels) // 2
    axes = new_panels("SignalPropagation.plot", rows, 2, (12, 4.2 * rows))
    for panel, ax in zip(panels, np.ravel(axes), strict=True):
        panel(ax, layers)
    figure = np.ravel(axes)[0].figure
    if path is not None:
        figure.savefig(path)
    return figure


def _spread(ax: Any, layers: list[Any]) -> None:
    """Figure 2: mean, standard deviation and 98% of the outputs, layer by layer."""
    positions = np.arange(len(layers))
    means = np.array([layer.mean for layer in layers])
    stds = np.array([layer.std for layer in layers])
    ax.errorbar(positions, means, stds, fmt="o", capsize=3, label="mean and std")
    known = [layer.activations[np.isfinite(layer.activations)] for layer in layers]
    ends = [np.percentile(v, (1, 99)) if v.size else (np.nan, np.nan) for v in known]
    ax.plot(positions, ends, "_", color="C1", markersize=8)
    ax.plot([], [], "_", color="C1", label="98% of all outputs")
    thin = -(-len(layers) // MOST_LAYERS)
    ax.set_xticks(
        positions[::thin],
        [layer.name for layer in layers][::thin],
        rotation=30,
        ha="right",
        fontsize=7,
    )
    ax.set_title("Outputs by layer")
    ax.legend(fontsize=8)


def _outputs(ax: Any, layers: list[Any]) -> None:
    """Figure 6."""
    _histograms(ax, layers, "activations")
    ax.set_title("Outputs (activations)")


def _gradients(ax: Any, layers: list[Any]) -> None:
    """Figure 7."""
    _histograms(ax, layers, "gradients")
    ax.set_title("Back-propagated gradients (of pre-activations)")


def _weight_gradients(ax: Any, layers: list[Any]) -> None:
    """Figure 8."""
    _histograms(ax, layers, "weight_gradients")
    ax.set_title("Gradients of weights")


def _histograms(ax: Any, layers: list[Any], name: str) -> None:
    # Hidden layers, as in the paper: the last one has another scale. Layers without
    # weights put out what the next sees, but have no gradients.
    weighted = [layer for layer in layers if layer.weighted]
    hidden = weighted[:-1] or weighted
    chosen = [layer for layer in hidden if np.isfinite(getattr(layer, name)).any()]
    if not chosen:
        return
    thin = math.ceil(len(chosen) / MOST_LAYERS)
    shown = chosen[::thin]
    samples = [getattr(layer, name) for layer in shown]
    samples = [values[np.isfinite(values)] for values in samples]
    reach = max(float(np.percentile(np.abs(values), 99.5)) for values in samples)
    edges = np.linspace(-1, 1, BINS + 1) * (reach or 1.0)
    middle = (edges[1:] + edges[:-1]) / 2
    for index, (layer, values) in enumerate(zip(shown, samples, strict=True)):
        counts = np.histogram(values, edges)[0] / values.size * 100
        style = "-" if index < 10 else "--"
        ax.plot(middle, counts, style, label=layer.name, color=f"C{index % 10}")
    ax.set_ylabel("% of values in bin")
    ax.set_ylim(bottom=0)
    ax.legend(fontsize=7)
