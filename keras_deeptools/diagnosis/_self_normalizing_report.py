"""What `check_self_normalizing` found."""

from dataclasses import dataclass

from keras_deeptools._finding import Finding
from keras_deeptools._text_table import text_table


@dataclass(frozen=True)
class SelfNormalizingLayer:
    """What one call of a layer gave; made by `check_self_normalizing`.

    Attributes:
        name: Str. Name of the layer, with the models and layers around it.
        layer_type: Str. Name of its class.
        mean: Float. Mean of the outputs over the whole batch and all units.
        std: Float. Their standard deviation.
        weight_gain: Float or None. Square root of fan-in times the mean square of the
            kernel; 1 is LeCun's. None for layers without a kernel.
        edge_ratio: Float or None. Standard deviation before the activation in the first
            corner over that in the centre; None but for padded convolutions.

    Example:

    >>> from keras_deeptools.diagnosis import SelfNormalizingLayer
    >>> SelfNormalizingLayer("dense", "Dense", 0.01, 0.99, 1.02, None).std
    0.99
    """

    name: str
    layer_type: str
    mean: float
    std: float
    weight_gain: float | None
    edge_ratio: float | None


@dataclass(frozen=True)
class SelfNormalizingReport:
    """Findings and measurements; made by `check_self_normalizing`.

    Attributes:
        findings: Tuple of `Finding`, in the order of the layers. Their kinds are
            `"inputs"`, `"initializer"`, `"equal kernels"`, `"activation"`,
            `"dropout"`, `"skip"`, `"padding"`, `"pooling"`, `"normalization"` and
            `"drift"`, a departure that none of the others explains; `where` is the
            name of the layer, with the models and layers around it.
        layers: Tuple of `SelfNormalizingLayer`, in the order in which they ran.
        input_mean: Float. Mean of what the first layer with weights receives.
        input_std: Float. Its standard deviation.

    Example:

    >>> from keras_deeptools.diagnosis import SelfNormalizingReport
    >>> print(SelfNormalizingReport((), (), 0.0, 1.0))
    Self-normalizing: nothing found that breaks it.
    """

    findings: tuple[Finding, ...]
    layers: tuple[SelfNormalizingLayer, ...]
    input_mean: float
    input_std: float

    @property
    def holds(self) -> bool:
        """Whether nothing was found that breaks self-normalization."""
        return not self.findings

    def table(self) -> str:
        """Mean, standard deviation, gain of weights and corner by layer."""
        kinds: dict[str, list[str]] = {}
        for finding in self.findings:
            kinds.setdefault(finding.where, []).append(finding.kind)
        inputs = [f"{self.input_mean:.3g}", f"{self.input_std:.3g}", "", ""]
        rows = [["(inputs)", *inputs, ", ".join(kinds.get("inputs", []))]]
        for layer in self.layers:
            moments = [f"{layer.mean:.3g}", f"{layer.std:.3g}"]
            ratios = [_cell(layer.weight_gain), _cell(layer.edge_ratio)]
            found = ", ".join(kinds.get(layer.name, []))
            rows.append([layer.name, *moments, *ratios, found])
        titles = ["layer", "mean", "std", "weights", "corner", ""]
        return text_table(titles, rows, text=(0, -1))

    def __str__(self) -> str:
        if self.holds:
            return "Self-normalizing: nothing found that breaks it."
        count = len(self.findings)
        head = f"Not self-normalizing: {count} problem{'s' if count > 1 else ''}."
        return "\n".join([head, *map(str, self.findings)])


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
