"""The form of all findings, which every diagnosis of the package returns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from keras_deeptools._finding_pages import page_of

SEVERITIES = ("problem", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """Something that is wrong or odd: what, where, the evidence, and what to do.

    Every diagnosis lists its findings as `.findings`: `audit`, `signal_propagation`,
    `check_self_normalizing`, `GradientMonitor`, `lsuv` and `rebalance`.

    Args:
        kind: Str. The name of this kind of finding, such as `"vanishing"`.
        where: Str. The layer, variable, input or part of the model; may be empty.
        message: Str. What was seen and what follows from it, with its numbers.
        remedy: Str. What to change; may be empty.
        severity: `"problem"` if training or predictions go wrong; `"warning"` if they
            are worse than they could be; `"note"` if it does no harm.
        evidence: Mapping from names to numbers, or to lists of them: what was measured,
            and the limit that it passed or the value that would be normal. Empty if the
            finding is about a setting and not about a number.
        code: Str. The remedy as Python code to paste; empty if it is more than a line.
        reference: Str. The basis of the finding: a paper and its section, or
            `"measured"`, which means that the behavior of Keras was run and observed.
        step: Int or None. The optimizer's count of updates when it was first seen.
        epoch: Int >= 1 or None. The epoch in which it was first seen, counted as Keras
            prints it.
        samples: Tuple of ints, positions of the samples that it is about.
        confidence: Float in [0, 1] or None. How often findings of this kind, with such
            evidence, were right in measurements.
        causes: Tuple of str, the kinds of other findings that follow from this one.
        caused_by: Str, the kind of the finding that this one follows from; may be
            empty.

    Raises:
        ValueError: If `severity` is none of these.

    Example:

    >>> from keras_deeptools.diagnosis import Finding
    >>> print(Finding("dead", "dense_1", "All are zero.", "Use HeNormal.", step=40))
    dead at dense_1, step 40: All are zero. Use HeNormal.
    """

    kind: str
    where: str
    message: str
    remedy: str = ""
    severity: str = "problem"
    evidence: Mapping[str, Any] = field(default_factory=dict, hash=False)
    code: str = ""
    reference: str = ""
    step: int | None = None
    epoch: int | None = None
    samples: tuple[int, ...] = ()
    confidence: float | None = None
    causes: tuple[str, ...] = ()
    caused_by: str = ""

    def __post_init__(self) -> None:
        if self.severity not in SEVERITIES:
            raise ValueError(
                f"Finding: `severity` must be one of {SEVERITIES}. "
                f"Received: severity={self.severity!r}."
            )
        # Plain numbers, so that findings can be compared, pickled and written as JSON.
        evidence = {name: _plain(value) for name, value in self.evidence.items()}
        object.__setattr__(self, "evidence", evidence)

    @property
    def place(self) -> str:
        """Str, `where` with the step and the epoch, if they are known."""
        times = {"step": self.step, "epoch": self.epoch}
        known = [f"{name} {at}" for name, at in times.items() if at is not None]
        return ", ".join(filter(None, [self.where, *known]))

    @property
    def page(self) -> str:
        """Str, the page of the documentation that explains findings of this kind.

        Such as `"findings/start.html#symmetric-units"`, relative to the root of the
        documentation; empty for your own kinds.
        """
        return page_of(self.kind)

    def __str__(self) -> str:
        """Returns one line, with all but the evidence, the severity and the code."""
        head = f"{self.kind} at {self.place}" if self.place else self.kind
        reference = f"({self.reference})" if self.reference else ""
        return " ".join(
            filter(None, [f"{head}:", self.message, self.remedy, reference])
        )


def lines_of_finding(mark: str, finding: Finding) -> list[str]:
    """Lines of a report: what was found where, then message, remedy and source.

    Args:
        mark: Str. What the first line begins with, such as "-" or "1.".
        finding: `Finding`.
    """
    parts = {
        "seen": finding.message,
        "remedy": finding.remedy,
        "code": finding.code,
        "source": finding.reference,
    }
    first = f"{mark} {finding.kind} ({finding.severity}): {finding.where}"
    return [first, *(f"    {name:<8}{text}" for name, text in parts.items() if text)]


class FindingsError(RuntimeError):
    """Base class of errors that are raised for findings, if a user has asked for that.

    Args:
        message: Str.
        findings: List of `Finding`, those that were found together.
    """

    def __init__(self, message: str, findings: list[Finding] | None = None) -> None:
        super().__init__(message)
        self.findings = list(findings or [])


def _plain(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    return list(map(_plain, value)) if isinstance(value, (list, tuple)) else value
