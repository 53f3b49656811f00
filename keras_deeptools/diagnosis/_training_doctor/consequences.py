"""What follows from what while a model trains, beside what `diagnose` knows."""

import math
from collections.abc import Sequence
from dataclasses import replace

from keras_deeptools._finding import Finding

RATE = "learning rate too high"
AFTER = {
    "dead units",
    "saturated units",
    "exploding gradient",
    "vanishing gradient",
    "no gradient reaches",
    "large updates",
}
"""What large steps do to units that were well at the start."""

WELL = 0.5
"""Units that were dead or saturated before training, at most, to have been well."""


def with_rate_first(findings: Sequence[Finding]) -> list[Finding]:
    """Puts what a learning rate has done to a model under the learning rate.

    Before training, dead units are a cause; units that die in it have been pushed.

    Args:
        findings: As `with_causes` returns them.

    Example:

    >>> from keras_deeptools.diagnosis import Finding
    >>> from keras_deeptools.diagnosis._training_doctor.consequences import (
    ...     with_rate_first,
    ... )
    >>> dead = Finding("dead units", "dense", "All are 0.", evidence={"before": 0.1})
    >>> rate = Finding("learning rate too high", "optimizer", "Updates are large.")
    >>> [(each.kind, each.caused_by) for each in with_rate_first([dead, rate])]
    [('learning rate too high', ''), ('dead units', 'learning rate too high')]
    """
    rates = [each for each in findings if each.kind == RATE and not each.caused_by]
    if not rates:
        return list(findings)
    kinds = [each.kind for each in findings if _follows(each)]
    marked = []
    for each in findings:
        if _follows(each):
            each = replace(each, caused_by=RATE)
        elif each is rates[0]:
            each = replace(each, causes=tuple(dict.fromkeys([*each.causes, *kinds])))
        marked.append(each)
    return sorted(marked, key=lambda each: bool(each.caused_by))


def _follows(finding: Finding) -> bool:
    if finding.kind not in AFTER or finding.caused_by:
        return False
    return bool(finding.evidence.get("before", 0.0) < WELL)


def is_finite(finding: Finding) -> bool:
    """Whether all numbers of the evidence are finite.

    Args:
        finding: `Finding`.
    """
    return all(
        math.isfinite(value)
        for value in finding.evidence.values()
        if isinstance(value, (int, float))
    )
