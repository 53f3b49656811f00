"""Whether outputs exclude one another (softmax) or stand for themselves (sigmoids)."""

from typing import Any

import numpy as np

SUM_TOLERANCE = 1e-2
"""Rows of half-precision probabilities sum to 1 within less than this."""


def are_independent(
    owner: str,
    values: np.ndarray,
    labels: np.ndarray,
    multi_label: bool | None,
    ignore_class: Any,
    are_logits: bool,
) -> bool:
    """Whether predictions of several outputs are those of independent labels.

    Labels tell it where they are 0 or 1 for each output and some sample has none or
    several of them, unless the probabilities of each sample sum to 1.

    Args:
        owner: Str. Who is named in errors.
        values: Array `(..., outputs)`, more than one.
        labels: Array of labels.
        multi_label: Bool, what the user says; None: nothing.
        ignore_class: Label of what does not count, or None.
        are_logits: Bool, whether `values` are logits.
    """
    if labels.shape != values.shape:
        if multi_label:
            raise ValueError(
                f"{owner}: `labels` must have shape {values.shape}, as the "
                "predictions do, with 0 or 1 for each output, where multi_label=True. "
                f"Received: shape {labels.shape}. Class indices are for outputs that "
                "exclude one another: leave `multi_label` out."
            )
        return False
    if multi_label is not None:
        return multi_label
    kept = (
        labels if ignore_class is None else np.where(labels == ignore_class, 0, labels)
    )
    if not np.isin(kept, (0, 1)).all() or (kept.sum(axis=-1) == 1).all():
        return False
    if are_logits:
        return True
    sums = values.astype("float64").sum(axis=-1)
    return bool((np.abs(sums - 1) > SUM_TOLERANCE).any())
