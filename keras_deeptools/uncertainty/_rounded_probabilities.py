"""Probabilities that were rounded to 0 or 1, and the temperature that they lead to."""

import warnings
from typing import Any

import numpy as np

from keras_deeptools.uncertainty._labelled_rows import LabelledRows
from keras_deeptools.uncertainty._negative_log_likelihood import (
    logits_of,
    smallest_step,
)
from keras_deeptools.uncertainty._temperature import optimal_temperature

MOST_DIFFERENCE = 0.05
"""Relative difference of temperatures from which rounding is told."""


def warn_of_rounding(
    owner: str, predictions: Any, rows: LabelledRows, temperature: float
) -> bool:
    """Warns where probabilities of exactly 0 or 1 decide the temperature.

    The temperature is found once more, with half of the smallest step between the
    probabilities in place of what is nearer to 0 or to 1.

    Args:
        owner: Str. Who is named in the warning.
        predictions: Probabilities, as the user gave them.
        rows: `LabelledRows`, their logits.
        temperature: Float, what was found with them as they are.

    Returns:
        Bool, whether it warned.
    """
    scores = np.asarray(predictions)
    size = 1 if rows.is_binary else scores.shape[-1]
    given = scores.reshape(-1, size)[rows.kept].astype("float64")
    pairs = np.concatenate([given, 1 - given], axis=1) if rows.is_binary else given
    is_zero = pairs <= 0
    if not is_zero.any():
        return False
    # What is too small for the floats themselves has not been rounded.
    step = max(float(pairs[~is_zero].min()) / 2, smallest_step(scores)[0])
    columns = pairs[:, ::-1] if rows.is_binary else given
    logits = logits_of(np.maximum(columns, step), rows.is_binary, (step, step))
    otherwise = optimal_temperature(logits, rows.labels, rows.weights)
    if abs(np.log(temperature / otherwise)) < MOST_DIFFERENCE:
        return False
    num_rows = int(is_zero.any(axis=1).sum())
    warnings.warn(
        f"{owner}: {num_rows} of {len(given)} rows hold probabilities of exactly 0 or "
        f"1, as rounding leaves behind, and these decide the temperature: it is "
        f"{temperature:.3g}, but {otherwise:.3g} where they are taken as {step:.2g} "
        f"and {1 - step:.6g}. Give the probabilities as the model predicted them, or "
        "logits with from_logits=True.",
        stacklevel=3,
    )
    return True
