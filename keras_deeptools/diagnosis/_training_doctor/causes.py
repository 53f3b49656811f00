"""Causes of what a training shows: its data, its model, its start and its steps."""

import contextlib
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from keras_deeptools._finding import Finding
from keras_deeptools.diagnosis._diagnose.diagnose import RULES, findings_of
from keras_deeptools.diagnosis._diagnose.measure import measure
from keras_deeptools.diagnosis._diagnose.ranking import ranked
from keras_deeptools.diagnosis._diagnose.rules_of_data import few_or_repeated
from keras_deeptools.diagnosis._training_doctor.given import Given
from keras_deeptools.engine._data.step_errors import misfit_of
from keras_deeptools.engine._state.temporary_weights import StandIns

START_RULES = tuple(rule for rule in RULES if rule is not few_or_repeated)
"""Rules for a part of the data: how many samples there are is not known."""

SHUFFLED = "dataset = dataset.shuffle(10_000)  # before .batch(...)"

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

RENAMED = {
    "dead": "dead units",
    "vanishing": "vanishing gradient",
    "exploding": "exploding gradient",
    "non-finite": "non-finite gradient",
}
"""What `GradientMonitor` finds, in the words of `diagnose`."""

CERTAIN = 0.85
"""Confidence of findings about a model that learns."""

STUCK = {
    "does not learn",
    "non-finite loss",
    "non-finite gradient",
    "divergence",
    "one class for all",
}
"""Kinds after which the model and its data are looked at for causes."""


def misfits(model: keras.Model, given: Given) -> list[Finding]:
    """Data that the first step will fail on, or that have no meaning for the loss.

    Args:
        model: `keras.Model`, compiled.
        given: `Given`.
    """
    if given.x is None:
        return []
    y = given.arrays[1] if given.arrays is not None else given.y
    reason = ""
    # A look at the data of a model that cannot be looked at says nothing.
    with contextlib.suppress(Exception):
        some = keras.tree.map_structure(lambda v: np.asarray(v)[:1], given.x)
        whole = keras.tree.map_structure(np.asarray, y)
        reason = misfit_of(model, (some, whole))
    if not reason:
        return []
    outside = "must hold classes in" in reason
    return [
        Finding(
            "labels out of range" if outside else "fit fails",
            "y" if "`y" in reason else "x",
            reason[0].upper() + reason[1:],
            epoch=1,
            confidence=0.98,
            reference="the definition of the loss",
        )
    ]


def static_causes(
    model: keras.Model, given: Given | None, start: dict[str, Any], passes: bool
) -> list[Finding]:
    """What `diagnose` finds without training, of the weights at the start.

    Args:
        model: Built `keras.Model`.
        given: `Given`.
        start: Dict from the path of each variable to its value at the start.
        passes: Bool, whether to run the model.
    """
    if given is None:
        return []
    stand_ins = StandIns(model)
    try:
        stand_ins.show([(v, start[v.path]) for v in model.variables if v.path in start])
        facts = measure(
            model,
            given.x,
            given.y,
            given.settings,
            validation_data=given.validation_data,
            trial_steps=0,
            passes=passes,
        )
        found = ranked(findings_of(facts, START_RULES), facts)
    except Exception:
        # The finding is about a problem that is known, and training continues.
        return []
    finally:
        stand_ins.hide()
    told = [each for each in found if each.severity != "note"]
    if given.x is None:
        # That there is nothing to look at is no fault of the user's.
        told = [each for each in told if each.kind != "fit fails"]
    return [_of_stream(each, given) for each in told]


def _of_stream(finding: Finding, given: Given) -> Finding:
    """Samples of a dataset were looked at as arrays."""
    if finding.kind != "sorted samples" or given.arrays is not None:
        return finding
    remedy = "Shuffle the data set, with a buffer as large as the data if possible."
    return replace(finding, remedy=remedy, code=SHUFFLED)


def with_rate_first(findings: Sequence[Finding]) -> list[Finding]:
    """Puts what a learning rate has done to a model under the learning rate.

    Before training, dead units are a cause; units that die in it have been pushed.

    Args:
        findings: As `with_causes` returns them.

    Example:

    >>> from keras_deeptools.diagnosis import Finding
    >>> from keras_deeptools.diagnosis._training_doctor.causes import (
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
