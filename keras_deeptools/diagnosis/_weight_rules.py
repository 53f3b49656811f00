"""Traps in the weights themselves, and in what was set on their layers."""

from collections.abc import Iterator

import numpy as np

from keras_deeptools.diagnosis._audit_report import AuditFinding
from keras_deeptools.diagnosis._audit_subject import (
    MEASURED,
    Subject,
    listing,
    setting_of,
)


def non_finite(subject: Subject) -> Iterator[AuditFinding]:
    """NaN and infinity."""
    bad = [
        variable.path
        for variable in subject.model.variables
        if not np.isfinite(subject.value(variable).astype("float64")).all()
    ]
    if bad:
        yield AuditFinding(
            "non-finite weights",
            listing(bad),
            f"{len(bad)} of {len(subject.model.variables)} variables have NaN or "
            "infinite values: outputs, and all weights after one update, will too.",
            "Go back to an earlier checkpoint, and train with a smaller rate or "
            "clipping; `GradientMonitor` names the first layer and update.",
            "IEEE 754 arithmetic",
        )


def nothing_trains(subject: Subject) -> Iterator[AuditFinding]:
    """A compiled model without trainable weights."""
    model = subject.model
    compiled = getattr(model, "optimizer", None) is not None
    built = all(layer.built for layer, _ in subject.layers if layer is not model)
    if compiled and built and model.weights and not model.trainable_variables:
        yield AuditFinding(
            "everything is frozen",
            model.name,
            f"None of its {len(model.weights)} variables is trainable: fit changes "
            "nothing.",
            "Set trainable = True on the layers that should learn, then compile again.",
            MEASURED,
        )


def late_constraints(subject: Subject) -> Iterator[AuditFinding]:
    """A constraint or regularizer that was set when the weights existed already."""
    for kind in ("constraint", "regularizer"):
        names = [
            f"{layer.name}.{role}"
            for layer, held in subject.layers
            for role, variable in held.items()
            if setting_of(layer, role, kind) is not None
            and getattr(variable, kind, None) is None
        ]
        if names:
            yield AuditFinding(
                f"{kind} without effect",
                listing(names),
                f"The layer has a {kind}, its weights have none: it was set after the "
                "layer had been built, which does nothing.",
                f"Give the {kind} when the layer is made"
                + (", or use `MaxNormEnforcer`." if kind == "constraint" else "."),
                MEASURED,
            )


RULES = (non_finite, nothing_trains, late_constraints)
"""The rules of this file."""
