"""How signals and gradients pass through a model: the numbers, a table, a picture."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_deeptools._axes import new_panels
from keras_deeptools.diagnosis._layer_signal import LayerSignal
from keras_deeptools.diagnosis._signal_findings import SignalFinding, find

MOST_LAYERS = 12


BINS = 60


def plot(result: Any, path: str | None) -> Any:
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


COLUMNS = {
    "mean": "mean",
    "std": "std",
    "pre-act. std": "pre_activation_std",
    "saturated": "saturated",
    "zero": "zero",
    "dead": "dead",
    "gradient": "gradient_std",
    "weight gradient": "weight_gradient_std",
}


@dataclass(frozen=True, eq=False)
class SignalPropagation:
    """What `signal_propagation` found.

    Args:
        layers: Tuple of `LayerSignal`, in the order of the calls.
        loss: Float, the loss of the batch; NaN without one.
        input_findings: Tuple of `SignalFinding` about the inputs.
        not_reached: Tuple of str, names of networks of a model without a `call` that
            do not take such inputs.

    Example:

    >>> from keras_deeptools.diagnosis import LayerSignal, SignalPropagation
    >>> names = ["first", "second", "output"]
    >>> layers = [LayerSignal(name, "Dense", mean=0.0, std=1.0) for name in names]
    >>> print(SignalPropagation(tuple(layers)).verdict)
    Even: signals neither vanish nor explode; gradients were not looked at.
    """

    layers: tuple[LayerSignal, ...]
    loss: float = math.nan
    input_findings: tuple[SignalFinding, ...] = ()
    not_reached: tuple[str, ...] = ()

    @property
    def findings(self) -> tuple[SignalFinding, ...]:
        """What is wrong: with the inputs, then in the model, the most severe first."""
        return (*self.input_findings, *find(self.layers))

    @property
    def verdict(self) -> str:
        """One line for each finding, with what to change; or that there is none."""
        if self.findings:
            return "\n".join(map(str, self.findings))
        if math.isnan(self.loss):
            return (
                "Even: signals neither vanish nor explode; gradients were not looked "
                "at."
            )
        return "Even: neither signals nor gradients vanish or explode."

    def table(self) -> str:
        """One line per layer, columns aligned; columns that nobody filled are left out.

        `gradient` is the root mean square of the loss's gradient with respect to the
        pre-activations, `weight gradient` that with respect to the kernel.
        """
        shown = {
            title: name
            for title, name in COLUMNS.items()
            if any(not math.isnan(getattr(layer, name)) for layer in self.layers)
        }
        has_jacobians = any(layer.singular_values.size for layer in self.layers)
        titles = [*shown, *(["Jacobian s.v."] if has_jacobians else [])]
        rows = [["layer", "kind", *titles]]
        for layer in self.layers:
            numbers = [getattr(layer, name) for name in shown.values()]
            cells = ["" if math.isnan(n) else f"{n:.3g}" for n in numbers]
            if has_jacobians:
                cells.append(_range_of(layer))
            rows.append([layer.name, layer.kind, *cells])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(
                cell.ljust(width) if position < 2 else cell.rjust(width)
                for position, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        )

    def plot(self, path: str | None = None) -> Any:
        """Draws the numbers in the manner of Glorot and Bengio's figures 2, 6, 7, 8.

        Mean and spread of the outputs over layers, and, layer by layer, histograms of
        the outputs, of the back-propagated gradients and of the weights' gradients.

        Args:
            path: Str or None, file to save the figure to.

        Returns:
            `matplotlib.figure.Figure`.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        return plot(self, path)

    def __str__(self) -> str:
        lines = [self.table(), self.verdict]
        if self.not_reached:
            names = ", ".join(self.not_reached)
            lines.append(f"Not reached, since they take other inputs: {names}.")
        return "\n".join(lines)


def _range_of(layer: LayerSignal) -> str:
    values = layer.singular_values
    return f"{values.min():.2g} to {values.max():.2g}" if values.size else ""
