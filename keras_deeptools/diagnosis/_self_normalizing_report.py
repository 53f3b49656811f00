"""What `check_self_normalizing` found."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SelfNormalizingProblem:
    """One thing that breaks self-normalization; made by `check_self_normalizing`.

    Attributes:
        kind: Str: `"inputs"`, `"initializer"`, `"equal kernels"`, `"activation"`,
            `"dropout"`, `"skip"`, `"padding"`, `"pooling"`, `"normalization"` or
            `"drift"`, a departure that none of the others explains.
        layer: Str. Name of the layer, with the models and layers around it.
        evidence: Str. What is there and what was measured.
        remedy: Str. What to change.

    Example:

    >>> from keras_deeptools.diagnosis import SelfNormalizingProblem
    >>> print(SelfNormalizingProblem("dropout", "drop", "It drops.", "Take another."))
    drop: dropout. It drops. Take another.
    """

    kind: str
    layer: str
    evidence: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.layer}: {self.kind}. {self.evidence} {self.remedy}"


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
        problems: Tuple of `SelfNormalizingProblem`, in the order of the layers.
        layers: Tuple of `SelfNormalizingLayer`, in the order in which they ran.
        input_mean: Float. Mean of what the first layer with weights receives.
        input_std: Float. Its standard deviation.

    Example:

    >>> from keras_deeptools.diagnosis import SelfNormalizingReport
    >>> print(SelfNormalizingReport((), (), 0.0, 1.0))
    Self-normalizing: nothing found that breaks it.
    """

    problems: tuple[SelfNormalizingProblem, ...]
    layers: tuple[SelfNormalizingLayer, ...]
    input_mean: float
    input_std: float

    @property
    def holds(self) -> bool:
        """Whether nothing was found that breaks self-normalization."""
        return not self.problems

    def table(self) -> str:
        """Mean, standard deviation, gain of weights and corner by layer."""
        width = max([len(layer.name) for layer in self.layers] + [len("layer")])
        kinds: dict[str, list[str]] = {}
        for problem in self.problems:
            kinds.setdefault(problem.layer, []).append(problem.kind)
        head = f"{'layer':<{width}} {'mean':>9} {'std':>9} {'weights':>8} {'corner':>7}"
        lines = [
            head,
            f"{'(inputs)':<{width}} {self.input_mean:9.3g} {self.input_std:9.3g}"
            f"{'':17}  {', '.join(kinds.get('inputs', []))}".rstrip(),
        ]
        for layer in self.layers:
            lines.append(
                f"{layer.name:<{width}} {layer.mean:9.3g} {layer.std:9.3g} "
                f"{_cell(layer.weight_gain):>8} {_cell(layer.edge_ratio):>7}  "
                f"{', '.join(kinds.get(layer.name, []))}".rstrip()
            )
        return "\n".join(lines)

    def __str__(self) -> str:
        if self.holds:
            return "Self-normalizing: nothing found that breaks it."
        count = len(self.problems)
        head = f"Not self-normalizing: {count} problem{'s' if count > 1 else ''}."
        return "\n".join([head, *map(str, self.problems)])


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
