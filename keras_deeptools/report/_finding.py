"""What is wrong, and the remedy, from whatever has found it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from keras_deeptools.report._markup import Markup, escaped, joined


@dataclass(frozen=True)
class Finding:
    """Something that is wrong.

    Args:
        kind: Str, what it is called.
        where: Str, the layer or part; may be empty.
        evidence: Str, what was seen.
        remedy: Str, what to change; may be empty.
    """

    kind: str
    where: str
    evidence: str
    remedy: str


def looks_for_findings(thing: Any) -> bool:
    """Whether it can have findings, also where it has none."""
    lists = (getattr(thing, name, None) for name in ("findings", "problems"))
    return any(isinstance(found, (list, tuple)) for found in lists)


def findings_of(thing: Any) -> list[Finding]:
    """What a monitor (`problems`) or a diagnosis (`findings`) has found."""
    for name in ("findings", "problems"):
        found = getattr(thing, name, None)
        if isinstance(found, (list, tuple)):
            return [_read(one) for one in found]
    return []


def findings_element(findings: Iterable[Finding]) -> Markup:
    """All of them, one below another."""
    return joined(map(_element, findings))


def _read(one: Any) -> Finding:
    kind = _first(one, "kind")
    evidence = _first(one, "evidence", "message")
    if not kind or not evidence:
        return Finding(kind or "finding", "", str(one), "")
    where = _first(one, "where", "layer", "variable")
    step = getattr(one, "step", None)
    if step is not None:
        where = f"{where} at step {step}"
    return Finding(kind, where, evidence, _first(one, "remedy"))


def _first(one: Any, *names: str) -> str:
    found = [getattr(one, name, None) for name in names]
    return next((text for text in found if isinstance(text, str)), "")


def _element(finding: Finding) -> Markup:
    heading = f"{finding.kind}: {finding.where}" if finding.where else finding.kind
    remedy = finding.remedy and (
        f"<p><strong>Remedy:</strong> {escaped(finding.remedy)}</p>"
    )
    return Markup(
        f'<div class="finding"><h3>{escaped(heading)}</h3>'
        f"<p>{escaped(finding.evidence)}</p>{remedy}</div>"
    )
