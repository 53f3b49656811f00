"""What an audit found, and what it could not look at."""

from dataclasses import dataclass


@dataclass(frozen=True)
class AuditFinding:
    """A silent trap in a model, with evidence and a remedy; made by `audit`.

    Attributes:
        kind: Str. What the trap is called.
        where: Str. The layers, or the part of the model, that it is in.
        evidence: Str. What was seen, and what follows from it.
        remedy: Str. What to change.
        source: Str. What the finding rests on: a paper, or "measured", which means that
            the behaviour of Keras was run and observed.

    Example:

    >>> from keras_deeptools.diagnosis import AuditFinding
    >>> texts = ("frozen", "model", "No weight trains.", "Unfreeze.", "measured")
    >>> print(AuditFinding(*texts))
    frozen: model. No weight trains. Unfreeze. (measured)
    """

    kind: str
    where: str
    evidence: str
    remedy: str
    source: str

    def __str__(self) -> str:
        """One line."""
        return (
            f"{self.kind}: {self.where}. {self.evidence} {self.remedy} ({self.source})"
        )


@dataclass(frozen=True)
class Audit:
    """The findings of an audit; made by `audit`.

    Attributes:
        model: Str. Name of the model.
        findings: Tuple of `AuditFinding`.
        not_seen: Tuple of str. What could not be looked at, and why.

    Example:

    >>> from keras_deeptools.diagnosis import Audit
    >>> print(Audit("classifier", (), ("The model is not compiled: no optimizer.",)))
    Audit of classifier: nothing found.
    Not looked at:
      The model is not compiled: no optimizer.
    """

    model: str
    findings: tuple[AuditFinding, ...]
    not_seen: tuple[str, ...] = ()

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of traps that were found, each once."""
        return tuple(dict.fromkeys(finding.kind for finding in self.findings))

    def __str__(self) -> str:
        """A report of several lines."""
        number = len(self.findings)
        found = f"{number} finding{'s' * (number != 1)}" if number else "nothing found"
        lines = [f"Audit of {self.model}: {found}."]
        for finding in self.findings:
            lines += [
                f"- {finding.kind}: {finding.where}",
                f"    seen    {finding.evidence}",
                f"    remedy  {finding.remedy}",
                f"    source  {finding.source}",
            ]
        if self.not_seen:
            lines += ["Not looked at:", *(f"  {text}" for text in self.not_seen)]
        return "\n".join(lines)
