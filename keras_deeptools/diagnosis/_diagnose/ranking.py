"""Which findings are causes, which follow from them, and in what order to read."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from keras_deeptools._finding import SEVERITIES, Finding, lines_of_finding
from keras_deeptools.diagnosis._diagnose.facts import Facts, learning

SYMPTOMS = {
    "divergence",
    "does not learn",
    "fit fails",
    "large updates",
    "non-finite gradient",
    "non-finite loss",
    "one class for all",
    "oscillation",
    "small updates",
}
"""What nearly every fault leads to."""

OF_SCALE = {
    "dead units",
    "no gradient reaches",
    "exploding gradient",
    "learning rate too high",
    "saturated units",
    "vanishing gradient",
    "vanishing signal",
    "exploding signal",
    "regularization outweighs the loss",
}
"""What signals of a wrong scale lead to."""

FOLLOWS: dict[str, set[str]] = {
    "unscaled inputs": OF_SCALE | {"learning rate too low", "clipping stops learning"},
    "uneven inputs": {"learning rate too high", "saturated units"},
    "non-finite inputs": {"labels without information"},
    "initial weights too large": OF_SCALE - {"dead units"} | {"dead units"},
    "initial weights too small": {
        "clipping stops learning",
        "no gradient reaches",
        "vanishing gradient",
        "vanishing signal",
        "learning rate too low",
    },
    "vanishing signal": {
        "no gradient reaches",
        "dead units",
        "vanishing gradient",
        "learning rate too low",
    },
    "exploding signal": {
        "no gradient reaches",
        "exploding gradient",
        "learning rate too high",
        "saturated units",
    },
    "weight constraint too tight": {
        "learning rate too low",
        "no gradient reaches",
        "vanishing gradient",
    },
    "epsilon too large": {"learning rate too low"},
    "no gradient reaches": {"learning rate too low"},
    "regression loss for classes": {"learning rate too low"},
    "softmax with from_logits=True": {"learning rate too low"},
    "sigmoid with categorical crossentropy": {"learning rate too low"},
    "softmax with binary crossentropy": {"learning rate too low"},
    "narrow layer": {"dead units", "no gradient reaches", "learning rate too low"},
    "ReLU on the logits": {"dead units", "learning rate too low"},
    "loss of the wrong sign": {"learning rate too low", "learning rate too high"},
    "loss that ignores the predictions": {"no gradient reaches"},
    "categorical crossentropy over one unit": {"no gradient reaches"},
    "weights that leave samples out": {
        "imbalanced classes",
        "learning rate too low",
        "no gradient reaches",
    },
    "initial biases far from zero": {
        "clipping stops learning",
        "dead units",
        "no gradient reaches",
        "saturated units",
        "vanishing gradient",
    },
    "symmetric units": {
        "dead units",
        "no gradient reaches",
        "vanishing gradient",
        "vanishing signal",
        "learning rate too low",
        "saturated units",
    },
    "unscaled targets": {
        "learning rate too high",
        "learning rate too low",
        "exploding gradient",
    },
    "softmax between layers": {
        "vanishing gradient",
        "vanishing signal",
        "learning rate too low",
    },
    "sigmoid in hidden layers": {
        "vanishing signal",
        "vanishing gradient",
        "learning rate too low",
        "saturated units",
    },
    "clipping stops learning": {"learning rate too low"},
    "regularization outweighs the loss": {
        "learning rate too low",
        "learning rate too high",
    },
    "dead units": {"no gradient reaches", "clipping stops learning"},
    "vanishing gradient": {"no gradient reaches", "learning rate too low"},
    "weight decay too strong": {"learning rate too low", "learning rate too high"},
    "learning rate decays too soon": {"learning rate too low"},
    "dropout rate too high": {"learning rate too low", "learning rate too high"},
    "dropout on the output": {"learning rate too low", "learning rate too high"},
    "frozen layers that were never trained": {"learning rate too low"},
    "everything is frozen": {"learning rate too low"},
    "labels without information": {"learning rate too low"},
    "learning rate not positive": {"learning rate too low", "learning rate too high"},
    "labels out of range": {
        "learning rate too high",
        "learning rate too low",
        "imbalanced classes",
    },
    "targets out of reach": {
        "dead units",
        "learning rate too low",
        "saturated units",
        "unscaled targets",
    },
    "outputs of another shape than the targets": {"learning rate too low"},
}
"""From a cause to the kinds that follow from it."""

ALWAYS_CAUSES = {
    "learning rate too low",
    "learning rate too high",
    "vanishing gradient",
    "exploding gradient",
    "dead units",
    "saturated units",
}
"""Kinds that are causes only where nothing explains them."""

CERTAIN = 0.9
"""Confidence from which on a fault counts as a problem even if the loss falls."""


CALIBRATION = (
    (0.0, 0.0),
    (0.4, 0.1),
    (0.55, 0.65),
    (0.8, 0.7),
    (0.85, 0.87),
    (0.9, 0.9),
    (0.92, 0.98),
    (1.0, 0.99),
)
"""From what rules state to how often findings were right on the fault suite."""


def calibrated(findings: Iterable[Finding]) -> list[Finding]:
    """Findings with the confidence that `benchmarks/fault_tables.py` measured.

    It rises with what rules state, so that the order of findings stays.

    Args:
        findings: `Finding`s as rules make them.
    """
    stated, right = zip(*CALIBRATION, strict=True)
    return [
        each
        if each.confidence is None
        else replace(
            each, confidence=round(float(np.interp(each.confidence, stated, right)), 3)
        )
        for each in findings
    ]


def ranked(findings: Iterable[Finding], facts: Facts) -> list[Finding]:
    """Orders findings: causes first, the most certain at the front.

    A model that learns in its trial has no problem but those that are certain.

    Args:
        findings: What the rules found.
        facts: `Facts`, for how training goes.
    """
    how = learning(facts)
    return with_causes([_judged(each, how) for each in findings])


def with_causes(findings: Iterable[Finding]) -> list[Finding]:
    """Notes which findings follow from which, and puts causes first.

    Args:
        findings: What was found.

    Returns:
        List of `Finding` with `causes` and `caused_by`, each kind at a place once.

    Example:

    >>> from keras_deeptools.diagnosis import Finding
    >>> from keras_deeptools.diagnosis._diagnose.ranking import with_causes
    >>> symptom = Finding("does not learn", "loss", "It stays at 2.3.")
    >>> cause = Finding("symmetric units", "dense", "They start equal.")
    >>> [(each.kind, each.caused_by) for each in with_causes([symptom, cause])]
    [('symmetric units', ''), ('does not learn', 'symmetric units')]
    """
    found = sorted(_without_repetition(findings), key=_weight, reverse=True)
    serious = [each for each in found if each.severity != "note"]
    kinds = list(dict.fromkeys(each.kind for each in serious))
    roots = [kind for kind in kinds if kind not in SYMPTOMS]
    by = {
        kind: next((c for c in kinds if c != kind and kind in FOLLOWS.get(c, ())), "")
        for kind in kinds
    }
    for kind in SYMPTOMS & set(kinds) if roots else ():
        by[kind] = roots[0]
    marked = [
        replace(each, caused_by=by[each.kind])
        if each.severity != "note" and by[each.kind]
        else each
        for each in found
    ]
    causes: dict[str, list[str]] = {}
    for each in marked:
        if each.caused_by:
            causes.setdefault(each.caused_by, []).append(each.kind)
    marked = [
        replace(each, causes=tuple(dict.fromkeys(causes.get(each.kind, ()))))
        for each in marked
    ]
    return sorted(marked, key=lambda each: bool(each.caused_by))


def _weight(finding: Finding) -> float:
    severity = len(SEVERITIES) - SEVERITIES.index(finding.severity)
    return severity + (0.5 if finding.confidence is None else finding.confidence)


def _judged(finding: Finding, how: str) -> Finding:
    """Severity by whether the model learns all the same."""
    confidence = 0.5 if finding.confidence is None else finding.confidence
    if how == "learns" and finding.severity == "problem" and confidence < CERTAIN:
        return replace(finding, severity="warning")
    if how in ("stuck", "diverges") and finding.severity == "warning":
        given = finding.confidence is not None
        if given and confidence >= 0.5 and finding.kind not in SYMPTOMS:
            return replace(finding, severity="problem")
    return finding


def _without_repetition(findings: Iterable[Finding]) -> Iterator[Finding]:
    """One finding of a kind at a place; the most certain of those on learning rates."""
    kept: dict[str, Finding] = {}
    for each in findings:
        key = (
            each.kind
            if each.kind.startswith("learning rate")
            else (f"{each.kind} at {each.where}")
        )
        before = kept.get(key)
        if before is None or _weight(each) > _weight(before):
            kept[key] = each
    yield from kept.values()


def lines_of(findings: Sequence[Finding]) -> list[str]:
    """A report as text: causes numbered, what follows from them below."""
    lines = []
    causes = [each for each in findings if not each.caused_by]
    for number, each in enumerate(causes, 1):
        lines += lines_of_finding(f"{number}.", each)
        if each.causes:
            lines.append(f"    {'causes':<8}{', '.join(each.causes)}")
    return lines
