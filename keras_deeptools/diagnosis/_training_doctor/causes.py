"""Causes of what a training shows: its data, its model, its start and its steps."""

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from keras_deeptools._finding import Finding
from keras_deeptools.callbacks import GradientClipper
from keras_deeptools.diagnosis._diagnose.diagnose import RULES, findings_of
from keras_deeptools.diagnosis._diagnose.measure import measure
from keras_deeptools.diagnosis._diagnose.ranking import ranked
from keras_deeptools.diagnosis._diagnose.rules_of_data import few_or_repeated
from keras_deeptools.diagnosis._training_doctor.curves import Curves, known
from keras_deeptools.diagnosis._training_doctor.given import Given
from keras_deeptools.engine._data.step_errors import misfit_of
from keras_deeptools.engine._state.temporary_weights import StandIns
from keras_deeptools.engine._update.train_step import running_fit

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

FIRST = 20
"""Updates that tell whether a learning rate is far off."""

SMALL, LARGE = 3e-5, 0.1
"""Update-to-weight ratios that are no good."""

SLOW = 5e-4
"""Update-to-weight ratios below which larger steps are worth a try."""

EPOCHS = 5
"""Epochs that show a pace."""

PACE = 0.04
"""Part of the loss by which it falls in an epoch, at most, to be slow."""

CLIPPER_LIMITS = ("norm", "global_norm", "value")
FINDER = "keras_deeptools.callbacks.find_learning_rate(model, x, y)"


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


def learning_rate(
    ratios: np.ndarray, curves: Curves, constant: float, clips: str = ""
) -> Iterator[Finding]:
    """A learning rate far too low or too high, judged by the size of updates.

    Args:
        ratios: Float array `(updates, kernels)`, the norm of each update over that of
            the weights.
        curves: Dict from names of logs to a float for each epoch.
        constant: Float, the loss of the best constant prediction; NaN if unknown.
        clips: Str, how an optimizer whose steps follow the size of gradients clips
            them; empty where it does not.
    """
    loss = known(curves, "loss")
    by_update = _by_update(ratios)
    finite = bool(np.isfinite(loss).all())
    # A training that has come to its end is short.
    if len(by_update) < (FIRST if finite else 2) or len(loss) < (2 if finite else 1):
        return
    first, last = np.median(by_update[:FIRST]), np.median(by_update[-FIRST:])
    largest = float(np.max(by_update[:FIRST]))
    falls = finite and loss[-1] < 0.9 * loss[0]
    worse = not finite or (loss[-1] > constant if constant == constant else not falls)
    is_small = first < SMALL and last < 2 * max(first, SMALL / 2)
    if is_small and finite and not falls and clips:
        yield Finding(
            "clipping stops learning",
            "optimizer",
            f"{clips} leaves so little of the gradients that an update changes the "
            f"weights by {first:.1e} of their norm; about 1e-3 is usual.",
            "Clip at the size that gradients usually have, such as 1.",
            evidence={"ratio": float(first), "usual_ratio": 1e-3},
            code="keras_deeptools.callbacks.GradientClipper(global_norm=1.0)",
            confidence=0.85,
            reference="Pascanu et al., 2013, section 3.2",
        )
    elif is_small and finite and not falls and first > 0:
        yield Finding(
            "learning rate too low",
            "optimizer",
            f"An update changes the weights by {first:.1e} of their norm, about 1e-3 "
            f"is usual, and in {len(loss)} epochs the loss went from {loss[0]:.3g} to "
            f"{loss[-1]:.3g}.",
            f"Multiply the learning rate by {10 ** round(math.log10(1e-3 / first)):g}.",
            evidence={"ratio": float(first), "usual_ratio": 1e-3},
            code=FINDER,
            confidence=0.8,
            reference="measured",
        )
    elif max(first, largest / 5) > LARGE and worse:
        yield Finding(
            "learning rate too high",
            "optimizer",
            f"In the first updates the weights change by up to {largest:.1e} of their "
            "norm at a time, about 1e-3 is usual, and the loss does not come under "
            "that of a constant prediction.",
            "Divide the learning rate by 10 or more.",
            evidence={"ratio": largest, "usual_ratio": 1e-3},
            code=FINDER,
            confidence=0.8,
            reference="measured",
        )


def slow_convergence(ratios: np.ndarray, curves: Curves) -> Iterator[Finding]:
    """A loss that falls at an even, small pace with small updates.

    Args:
        ratios: As for `learning_rate`.
        curves: Dict from names of logs to a float for each epoch.
    """
    loss, by_update = known(curves, "loss"), _by_update(ratios)
    if len(loss) < EPOCHS or len(by_update) < FIRST or not np.isfinite(loss).all():
        return
    falls = -np.diff(loss[-EPOCHS:]) / np.maximum(np.abs(loss[-EPOCHS:-1]), 1e-12)
    usual = float(np.median(by_update[-FIRST:]))
    even = falls.min() > 0 and falls.max() < 2 * falls.min()
    if even and falls.max() < PACE and loss[-1] > loss[0] / 2 and SMALL <= usual < SLOW:
        yield Finding(
            "slow convergence",
            "optimizer",
            f"The loss falls by {falls.mean():.1%} per epoch, evenly, and an update "
            f"changes the weights by {usual:.1e} of their norm, where about 1e-3 is "
            "usual.",
            "Raise the learning rate by 3 to 10 times, or use momentum or Adam.",
            severity="warning",
            evidence={"fall_per_epoch": float(falls.mean()), "ratio": usual},
            code=FINDER,
            epoch=len(loss),
            confidence=0.6,
            reference="Smith, 2018, section 3. https://arxiv.org/abs/1803.09820",
        )


def clipping_of(model: keras.Model) -> str:
    """How plain gradient descent clips, as a setting to name; empty for others.

    Args:
        model: `keras.Model`, in whose `fit` a `GradientClipper` may run.
    """
    if not isinstance(model.optimizer, keras.optimizers.SGD):
        return ""
    names = ("clipnorm", "global_clipnorm", "clipvalue")
    given = {name: getattr(model.optimizer, name, None) for name in names}
    run = running_fit(model)
    for each in run.callbacks if run is not None else ():
        if isinstance(each, GradientClipper):
            limits = {name: getattr(each, name) for name in CLIPPER_LIMITS}
            given |= {f"GradientClipper's {k}": v for k, v in limits.items()}
    return next((f"{name}={value:g}" for name, value in given.items() if value), "")


def _by_update(ratios: np.ndarray) -> np.ndarray:
    """The median over kernels of each update in which one is known."""
    finite = np.where(np.isfinite(ratios), ratios, np.nan)
    if not finite.size:
        return np.zeros(0)
    return np.nanmedian(finite[~np.isnan(finite).all(axis=1)], axis=1)
