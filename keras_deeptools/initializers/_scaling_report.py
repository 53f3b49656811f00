"""The report of scaling the layers of a model."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from keras_deeptools._finding import Finding
from keras_deeptools._text_table import NotebookText, text_table


@dataclass(frozen=True)
class ScaledLayer:
    """One call of a weighted layer, before and after its weights were scaled.

    Args:
        name: Str, path of the call; `#2` is the second use of a layer.
        std_before: Float, standard deviation of the pre-activation before.
        std_after: Float, the same after scaling.
        scale: Float, factor of the kernel.
        gradient_before: Float, root mean square of the gradient of the loss with
            respect to the pre-activation before; NaN if it was not computed.
        gradient_after: Float, the same after scaling.
        note: Str, a remark about this layer, or empty.

    Example:

    >>> from keras_deeptools.initializers import ScaledLayer
    >>> ScaledLayer("dense", std_before=0.5, std_after=1.0, scale=2.0).scale
    2.0
    """

    name: str
    std_before: float
    std_after: float
    scale: float
    gradient_before: float = math.nan
    gradient_after: float = math.nan
    note: str = ""


@dataclass(frozen=True)
class ScalingReport(NotebookText):
    """The changes that `lsuv` or `rebalance` has made to a model.

    Args:
        layers: Tuple of `ScaledLayer`, one for each call of a scaled layer, in order.
        target: Float, the target standard deviation.
        tolerance: Float, the relative deviation from the target that counts as reached.
        iterations: Int, how many times scales were chosen and applied.
        exempt: Dict from the name of a layer that was left alone to the reason.
        objective_before: Float, the objective of `rebalance` before; NaN for `lsuv`.
        objective_after: Float, the same after scaling.
        findings: Tuple of `Finding`, about unusual inputs.

    Example:

    >>> from keras_deeptools.initializers import ScaledLayer, ScalingReport
    >>> layer = ScaledLayer("dense", std_before=0.5, std_after=1.0, scale=2.0)
    >>> print(ScalingReport((layer,), 1.0, 0.05, 1, {"embedding": "embedding"}))
    Scaled 1 layer call in 1 iteration; all within 5% of standard deviation 1.
    layer  std before  std after  scale  note
    dense         0.5          1      2
    Left alone: embedding (embedding).
    """

    layers: tuple[ScaledLayer, ...]
    target: float
    tolerance: float
    iterations: int
    exempt: dict[str, str]
    objective_before: float = math.nan
    objective_after: float = math.nan
    findings: tuple[Finding, ...] = ()

    @property
    def unreached(self) -> tuple[ScaledLayer, ...]:
        """Layers whose standard deviation differs from the target by too much."""
        limit = self.tolerance * self.target
        return tuple(
            layer
            for layer in self.layers
            if not abs(layer.std_after - self.target) <= limit
        )

    def table(self) -> str:
        """Returns the layers as lines of text with aligned columns."""
        gradients = any(math.isfinite(layer.gradient_after) for layer in self.layers)
        header = ["layer", "std before", "std after", "scale"]
        header += ["gradient before", "gradient after"] if gradients else []
        rows = []
        for layer in self.layers:
            numbers = [layer.std_before, layer.std_after, layer.scale]
            if gradients:
                numbers += [layer.gradient_before, layer.gradient_after]
            rows.append([layer.name, *(f"{n:.3g}" for n in numbers), layer.note])
        return text_table([*header, "note"], rows, text=(0, -1))

    def __str__(self) -> str:
        calls = f"{len(self.layers)} layer call{'s' * (len(self.layers) != 1)}"
        times = f"{self.iterations} iteration{'s' * (self.iterations != 1)}"
        if math.isfinite(self.objective_after):
            ending = (
                f"objective {self.objective_before:.3g} -> {self.objective_after:.3g}"
            )
        else:
            missed = len(self.unreached)
            which = f"{missed} not" if missed else "all"
            ending = (
                f"{which} within {self.tolerance:.0%} of standard deviation "
                f"{self.target:g}"
            )
        lines = [f"Scaled {calls} in {times}; {ending}.", self.table()]
        if self.exempt:
            named = ", ".join(f"{name} ({why})" for name, why in self.exempt.items())
            lines.append(f"Left alone: {named}.")
        lines += [f"Inputs: {finding}" for finding in self.findings]
        return "\n".join(lines)


def merged(
    reports: Sequence[tuple[str, ScalingReport]],
    exempt: dict[str, str],
    findings: Iterable[Finding],
) -> ScalingReport:
    """Merges the reports of several networks into one.

    Args:
        reports: Tuples of a prefix for the names of the layers, which may be empty, and
            the report of a network.
        exempt: Other layers that were left alone.
        findings: Findings about the inputs alone.
    """
    layers, left, found = [], dict(exempt), list(findings)
    for name, report in reports:
        before = f"{name}/" if name else ""
        layers += [replace(each, name=before + each.name) for each in report.layers]
        left |= {before + each: why for each, why in report.exempt.items()}
        found += [each for each in report.findings if each not in found]
    return replace(
        reports[0][1],
        layers=tuple(layers),
        iterations=max(report.iterations for _, report in reports),
        exempt=left,
        findings=tuple(found),
    )
