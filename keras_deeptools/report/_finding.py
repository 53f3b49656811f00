"""What is wrong, and the remedy, from whatever has found it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_deeptools.report._markup import Markup, escaped, joined
from keras_deeptools.report._run import Run


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


LATER = 3


"""Epochs after the best one from which on overfitting is told."""


LOST = 0.1


"""Part of what the validation loss had gained that must be lost again."""


def run_findings(run: Run) -> list[Finding]:
    """A loss that is not finite, or does not fall; overfitting.

    Args:
        run: `Run`.
    """
    if "loss" not in run.series:
        return []
    epochs, losses = run.series["loss"]
    broken = ~np.isfinite(losses)
    if broken.any():
        first = int(epochs[broken.argmax()])
        return [
            Finding(
                "non-finite loss",
                f"epoch {first}",
                f"The loss is {losses[broken.argmax()]} from epoch {first} on.",
                "Lower the learning rate (`find_learning_rate`), clip gradients "
                "(`GradientClipper`), or look for values in the data that are not "
                "finite.",
            )
        ]
    if len(losses) >= LATER and losses.min() >= losses[0]:
        return [
            Finding(
                "no learning",
                f"epochs 1 to {len(losses)}",
                f"The training loss was {losses[0]:.4g} after the first epoch and "
                "never lower.",
                "Watch the gradients (`GradientMonitor`), run `diagnosis.audit`, and "
                "find a rate with `find_learning_rate`.",
            )
        ]
    return _overfitting(run)


def _overfitting(run: Run) -> list[Finding]:
    if "val_loss" not in run.series:
        return []
    epochs, values = run.series["val_loss"]
    if not np.isfinite(values).all():
        return []
    best = int(values.argmin())
    lost, gained = values[-1] - values[best], values[0] - values[best]
    fell = (run.value("loss", int(epochs[-1])) or np.inf) < (
        run.value("loss", int(epochs[best])) or -np.inf
    )
    if len(values) - 1 - best < LATER or lost <= LOST * max(gained, 1e-12) or not fell:
        return []
    return [
        Finding(
            "overfitting",
            f"after epoch {epochs[best]}",
            f"The validation loss rose from {values[best]:.4g} in epoch {epochs[best]} "
            f"to {values[-1]:.4g}, while the training loss went on falling.",
            "Keep the weights of the best epoch (`EarlyStopping` with "
            "`restore_best_weights`); regularize: dropout, `MaxNormEnforcer`, label "
            "smoothing; get or make more data.",
        )
    ]
