"""What the predictions for some samples show: one class for all, and odd labels."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_deeptools._finding import Finding
from keras_deeptools.diagnosis._diagnose.target_facts import TargetFacts

LEAST_SAMPLES = 20
MOST_LISTED = 10
SURE = 0.95
LEAST_ACCURACY = 0.8
"""Below this accuracy, disagreement is the model's fault, not the labels'."""


def one_class(outputs: Any, targets: TargetFacts) -> Iterator[Finding]:
    """One class predicted for all samples.

    Args:
        outputs: Array `(samples, units)` or `(samples,)`.
        targets: `TargetFacts` of the same samples.
    """
    out = np.asarray(outputs, "float64").reshape(len(outputs), -1)
    if len(out) < LEAST_SAMPLES or not targets.is_classes or targets.num_classes < 2:
        return
    if not np.isfinite(out).all():
        return
    if out.shape[1] > 1:
        found = out.argmax(axis=1)
    else:
        found = (out[:, 0] > (0.0 if out.min() < 0 else 0.5)).astype(int)
    share = float(targets.counts.max() / targets.counts.sum())
    if len(np.unique(found)) == 1 and share < 0.9:
        yield Finding(
            "one class for all",
            "predictions",
            f"All {len(out)} samples get class {found[0]}, where {share:.0%} belong to "
            "the most frequent one.",
            "Look at the learning rate, at dead units and at the balance of classes.",
            evidence={"predicted_classes": 1, "largest_share": share},
            code="keras_deeptools.diagnosis.diagnose(model, x, y)",
            confidence=0.85,
            reference="measured",
        )


class OddLabels:
    """Samples whose label a model that is right elsewhere never agrees with."""

    def __init__(self) -> None:
        self._seen: list[np.ndarray] = []

    def add(self, outputs: Any, targets: TargetFacts) -> None:
        """Notes the predictions after one epoch."""
        out = np.asarray(outputs, "float64").reshape(len(outputs), -1)
        known = targets.labels
        if known is None or out.shape[1] < 2 or not np.isfinite(out).all():
            return
        rows = np.arange(len(out))
        wanted = out[rows, np.clip(known, 0, out.shape[1] - 1)]
        self._seen.append((out.argmax(axis=1) != known) & (wanted < 1 - SURE))
        self._right = float((out.argmax(axis=1) == known).mean())

    def findings(self) -> Iterator[Finding]:
        """The samples that were wrong, and sure, after each of the last epochs."""
        if len(self._seen) < 3 or self._right < LEAST_ACCURACY:
            return
        always = np.all(self._seen[-3:], axis=0)
        hit = np.flatnonzero(always)
        if 0 < len(hit) < 0.2 * len(always):
            yield Finding(
                "labels that look wrong",
                "y",
                f"{len(hit)} of {len(always)} samples were given another class, with "
                f"certainty, after each of three epochs, while {self._right:.0%} are "
                "right.",
                "Look at these samples.",
                severity="note",
                evidence={"samples": len(hit), "accuracy": self._right},
                samples=tuple(int(each) for each in hit[:MOST_LISTED]),
                confidence=0.5,
                reference="Northcutt et al., 2021, Confident learning, section 3",
            )
