"""Findings as parts of a page, from whatever has them."""

from collections.abc import Iterable
from typing import Any

from keras_deeptools._finding import Finding
from keras_deeptools.report._markup import Markup, escaped, joined, listing


def looks_for_findings(thing: Any) -> bool:
    """Whether it can have findings, also where it has none."""
    return isinstance(getattr(thing, "findings", None), (list, tuple))


def findings_of(thing: Any) -> list[Finding]:
    """What a monitor or a diagnosis has found; what is none of ours as its text."""
    found = thing.findings if looks_for_findings(thing) else ()
    return [
        one if isinstance(one, Finding) else Finding("finding", "", str(one))
        for one in found
    ]


def findings_element(findings: Iterable[Finding]) -> Markup:
    """All of them, one below another."""
    return joined(map(_element, findings))


def _element(finding: Finding) -> Markup:
    place = f": {finding.place}" if finding.place else ""
    severity = f'<span class="severity">{escaped(finding.severity)}</span>'
    pieces = [
        f"<h3>{escaped(finding.kind + place)} {severity}</h3>",
        f"<p>{escaped(finding.message)}</p>",
    ]
    if finding.remedy:
        pieces.append(f"<p><strong>Remedy:</strong> {escaped(finding.remedy)}</p>")
    if finding.code:
        pieces.append(listing(finding.code, f"Remedy for {finding.kind} as code"))
    if finding.reference:
        pieces.append(f'<p class="muted">{escaped(finding.reference)}</p>')
    return Markup(f'<div class="finding {finding.severity}">{"".join(pieces)}</div>')
