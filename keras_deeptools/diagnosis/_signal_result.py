"""How signals and gradients pass through a model: the numbers, a table, a picture."""

import math
from dataclasses import dataclass
from typing import Any

from keras_deeptools.diagnosis._layer_signal import LayerSignal
from keras_deeptools.diagnosis._signal_findings import SignalFinding, find
from keras_deeptools.diagnosis._signal_plots import plot

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
