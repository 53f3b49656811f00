"""The rules by which a trial has no prospect: pure functions of its curves."""

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np

from keras_deeptools._finding import Finding
from keras_deeptools.engine._keras_private.versions import loss_argument
from keras_deeptools.tuning._trials.searched_trial import BELOW_MEDIAN, NO_LEARNING

OF_A_BATCH = 0.1
"""By how much the loss of one batch may be off by chance."""


def no_learning(
    losses: Sequence[float],
    start: float | None,
    constant: float | None,
    min_improvement: float,
) -> Finding | None:
    """What is wrong where nothing has been learned so far.

    Args:
        losses: The loss of each epoch, the last of which is no better than before.
        start: Float or None, the loss of the first batch; None for a model that was
            trained before.
        constant: Float or None, the loss of one prediction for all samples.
        min_improvement: Float in [0, 1), as in `HopelessTrialStopper`.
    """
    best, first = min(losses), losses[0]
    if constant is not None and not is_less(best, constant, min_improvement):
        limit = {"constant_loss": constant}
        than = f"that of predicting the same for every row, {constant:.4g}"
    elif (
        start is not None
        and not is_less(first, start, OF_A_BATCH)
        and not is_less(best, first, min_improvement)
    ):
        limit = {"first_loss": first, "start_loss": start}
        than = f"in the first epoch, {first:.4g}"
    else:
        return None
    return Finding(
        NO_LEARNING,
        "loss",
        f"After {len(losses)} epochs the loss was {best:.4g} at best, no better than "
        f"{than}.",
        evidence={"loss": best, **limit},
    )


def below_median(
    values: Sequence[float],
    others: Iterable[Sequence[float]],
    objective: Any,
    min_trials: int,
) -> Finding | None:
    """What is wrong where other trials were better at the same epoch.

    Args:
        values: The trial's objective after each epoch.
        others: The same of each trial completed before.
        objective: `keras_tuner.Objective`.
        min_trials: Int >= 1, trials that must have come as far.
    """
    epochs = len(values)
    as_far = [one for one in others if len(one) >= epochs]
    median = median_of_others(as_far, epochs) if len(as_far) >= min_trials else None
    best = best_of(values, objective.direction)
    if median is None or not is_worse(best, median, objective.direction):
        return None
    return Finding(
        BELOW_MEDIAN,
        objective.name,
        f"After {epochs} epochs {objective.name} was {best:.4g} at best; the median of "
        f"{len(as_far)} trials was {median:.4g}.",
        severity="note",
        evidence={"best": best, "median": median, "trials": len(as_far)},
        reference="Golovin et al., 2017, section 3.2.2",
    )


def median_of_others(others: Iterable[Sequence[float]], epochs: int) -> float | None:
    """The median of the running averages of other trials, up to an epoch.

    Golovin et al., 2017, section 3.2.2. Trials that were not trained as long do not
    count, nor do averages that are not finite.

    Args:
        others: For each other trial, its objective after each epoch.
        epochs: Int >= 1, how many of them.

    Returns:
        Float, or None where no trial counts.
    """
    averages = [
        statistics.fmean(values[:epochs]) for values in others if len(values) >= epochs
    ]
    averages = [average for average in averages if math.isfinite(average)]
    return statistics.median(averages) if averages else None


def best_of(values: Iterable[float], direction: str) -> float:
    """The best finite value; NaN where none is finite.

    Args:
        values: A trial's objective after each epoch.
        direction: `"min"` or `"max"`.
    """
    finite = [value for value in values if math.isfinite(value)]
    choose = min if direction == "min" else max
    return choose(finite) if finite else math.nan


def is_worse(value: float, reference: float, direction: str) -> bool:
    """Whether a value is on the wrong side of another; NaN is.

    Args:
        value: Float.
        reference: Float.
        direction: `"min"` or `"max"`.
    """
    return not (value <= reference if direction == "min" else value >= reference)


def is_less(loss: float, reference: float, part: float) -> bool:
    """Whether a loss is less than another by a part of it.

    Args:
        loss: Float.
        reference: Float.
        part: Float in [0, 1).
    """
    return loss < reference - part * abs(reference)


SPARSE = ("sparse_categorical_crossentropy", "SparseCategoricalCrossentropy")
DENSE = ("categorical_crossentropy", "CategoricalCrossentropy")
BINARY = ("binary_crossentropy", "BinaryCrossentropy", "bce")
SQUARED = ("mean_squared_error", "MeanSquaredError", "mse")
ABSOLUTE = ("mean_absolute_error", "MeanAbsoluteError", "mae")


def constant_loss(loss: Any, targets: Any) -> float | None:
    """The least loss that one prediction for all samples can have.

    Class frequencies for crossentropies, the mean for squared errors, the median for
    absolute ones.

    Args:
        loss: Name of a loss or `keras.losses.Loss`, as a model was compiled with.
        targets: Array of targets.

    Returns:
        Float, or None where the loss is another one or the targets are no array.
    """
    if not isinstance(loss, str | keras.losses.Loss) or not hasattr(targets, "shape"):
        return None
    name = loss if isinstance(loss, str) else type(loss).__name__
    y = np.asarray(targets)
    smoothing = float(loss_argument(loss, "label_smoothing", 0.0))
    if loss_argument(loss, "ignore_class") is not None or not y.size:
        return None
    if name in SPARSE:
        return _entropy(np.unique(y, return_counts=True)[1] / y.size)
    if name in DENSE and y.ndim == 2:
        mean = y.mean(axis=0, dtype="float64")
        return _entropy(mean * (1 - smoothing) + smoothing / len(mean))
    y = y.reshape(len(y), -1).astype("float64")
    if name in BINARY:
        mean = y.mean(axis=0) * (1 - smoothing) + smoothing / 2
        return _entropy(np.stack([mean, 1 - mean])) / y.shape[1]
    if name in SQUARED:
        return float(y.var(axis=0).mean())
    if name in ABSOLUTE:
        return float(np.abs(y - np.median(y, axis=0)).mean())
    return None


def constant_loss_of(model: keras.Model, targets: Any) -> float | None:
    """The least loss that a model can have by one prediction for all samples.

    Args:
        model: `keras.Model`, compiled. With penalties in its loss: None.
        targets: Array of targets, or None.
    """
    return None if model.losses else constant_loss(model.loss, targets)


def _entropy(probabilities: np.ndarray) -> float:
    p = probabilities[probabilities > 0]
    return float(-np.sum(p * np.log(p)))
