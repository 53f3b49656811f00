"""What learning curves show: pure functions from losses to findings."""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from keras_deeptools._finding import Finding

Curves = Mapping[str, Sequence[float]]

PATIENCE = 3
"""Epochs in a row that a state must last."""

OVERFITS = 0.1
"""Part of its least value by which the validation loss must have risen."""

FLAT = 0.01
"""Relative change of the loss over `PATIENCE` epochs that counts as none."""

FIRST = 20
"""Updates that tell whether a learning rate is far off."""

SMALL, LARGE = 3e-5, 0.1
"""Update-to-weight ratios that are no good."""

PRECHELT = "Prechelt, 1998, Early stopping - but when?, section 2"
SCHEDULED = "keras_deeptools.callbacks.OneCycleScheduler(0.01)"


def diverging(curves: Curves) -> Iterator[Finding]:
    """A loss that has risen far above what it was."""
    loss = _known(curves, "loss")
    if len(loss) < 2 or not np.isfinite(loss).all():
        return
    least, last = float(loss.min()), float(loss[-1])
    if last > 2 * loss[0] or (last > 3 * max(least, 1e-12) and last > loss[0]):
        yield Finding(
            "divergence",
            "loss",
            f"The training loss is {last:.3g}, after {least:.3g} in epoch "
            f"{int(loss.argmin()) + 1}.",
            "Lower the learning rate, or clip gradients.",
            evidence={"last": last, "least": least, "first": float(loss[0])},
            code="keras_deeptools.callbacks.GradientClipper(global_norm=1.0)",
            epoch=len(loss),
            confidence=0.8,
            reference="Goodfellow et al., 2016, Deep Learning, section 8.2.4",
        )


def overfitting(curves: Curves) -> Iterator[Finding]:
    """A validation loss that rises while the training loss falls."""
    train, valid = _known(curves, "loss"), _known(curves, "val_loss")
    if len(valid) < PATIENCE + 2 or len(valid) != len(train):
        return
    if not np.isfinite([*valid, *train]).all():
        return
    best = int(np.argmin(valid))
    since = len(valid) - 1 - best
    rise = (valid[-1] - valid[best]) / max(abs(valid[best]), 1e-12)
    falls = train[-1] < train[best]
    if since >= PATIENCE and rise > OVERFITS and falls:
        yield Finding(
            "overfitting",
            "val_loss",
            f"The validation loss was least in epoch {best + 1} ({valid[best]:.3g}) "
            f"and has risen to {valid[-1]:.3g}, while the training loss fell from "
            f"{train[best]:.3g} to {train[-1]:.3g}.",
            "Stop there (EarlyStopping), or use dropout, max-norm, augmentation or "
            "more data.",
            severity="warning",
            evidence={
                "best_epoch": best + 1,
                "best": valid[best],
                "last": valid[-1],
                "rise": rise,
            },
            code="keras.callbacks.EarlyStopping(restore_best_weights=True, patience=3)",
            epoch=len(valid),
            confidence=0.9,
            reference=PRECHELT,
        )


def plateau(curves: Curves) -> Iterator[Finding]:
    """A training loss that no longer falls, although it had fallen."""
    loss = _known(curves, "loss")
    if len(loss) < 2 * PATIENCE + 1 or not np.isfinite(loss).all():
        return
    before, now = loss[-2 * PATIENCE : -PATIENCE].mean(), loss[-PATIENCE:].mean()
    fell = loss[0] - before
    change = (before - now) / max(abs(before), 1e-12)
    noise = float(np.abs(np.diff(loss[-2 * PATIENCE :])).mean())
    moves = noise > 3 * abs(before - now) / PATIENCE and noise > FLAT * abs(before)
    if fell > 0.1 * abs(loss[0]) and abs(change) < FLAT and moves:
        yield Finding(
            "plateau",
            "loss",
            f"For {2 * PATIENCE} epochs the training loss has stayed at {now:.3g} and "
            f"goes up and down by {noise:.2g}.",
            "Lower the learning rate from here on.",
            severity="note",
            evidence={"loss": now, "change": change, "noise": noise},
            code="keras.callbacks.ReduceLROnPlateau(patience=2)",
            epoch=len(loss),
            confidence=0.6,
            reference="Smith, 2018, section 3. https://arxiv.org/abs/1803.09820",
        )


def not_comparable(curves: Curves) -> Iterator[Finding]:
    """A validation loss of another size than the training loss from the start."""
    train, valid = _known(curves, "loss"), _known(curves, "val_loss")
    if len(valid) < 2 or len(train) != len(valid):
        return
    ratio = float(np.median(valid / np.maximum(np.abs(train), 1e-12)))
    rose = valid[-1] > 1.2 * valid[0]
    if ratio > 20 and not rose and valid.min() > 3 * train[0]:
        yield Finding(
            "validation that is not comparable",
            "val_loss",
            f"The validation loss is {ratio:.0f} times the training loss in the "
            "median epoch, from the first on.",
            "Look at whether both data sets are scaled and labelled in the same way.",
            evidence={"ratio": ratio},
            epoch=len(valid),
            confidence=0.7,
            reference="measured",
        )


def oscillation(batch_losses: Sequence[float]) -> Iterator[Finding]:
    """Losses of batches that jump up and down more than they fall.

    Args:
        batch_losses: Floats, losses of single batches in their order.
    """
    losses = np.asarray(batch_losses, "float64")
    losses = losses[np.isfinite(losses)]
    if len(losses) < 20:
        return
    steps = np.diff(losses)
    turns = float((np.sign(steps[1:]) != np.sign(steps[:-1])).mean())
    size = float(np.median(np.abs(steps)) / max(abs(float(np.median(losses))), 1e-12))
    half = len(losses) // 2
    falls = losses[half:].mean() < 0.95 * losses[:half].mean()
    if turns > 0.55 and size > 0.5 and not falls:
        yield Finding(
            "oscillation",
            "loss",
            f"From batch to batch the loss jumps by {size:.0%} of itself, and does "
            "not fall.",
            "Lower the learning rate, or use larger batches.",
            severity="warning",
            evidence={"jump": size, "turns": turns},
            code="keras_deeptools.callbacks.find_learning_rate(model, x, y)",
            confidence=0.7,
            reference="Smith, 2018, section 3. https://arxiv.org/abs/1803.09820",
        )


def not_learning(curves: Curves, constant: float) -> Iterator[Finding]:
    """A training loss that is no better than the best constant prediction.

    Args:
        curves: Dict from names of logs to a float for each epoch.
        constant: Float, the loss of the best constant prediction; NaN if unknown.
    """
    loss = _known(curves, "loss")
    if len(loss) < 2 or math.isnan(constant) or not np.isfinite(loss).all():
        return
    best = float(loss[1:].min())
    if best > constant - 0.02 * abs(constant):
        yield Finding(
            "does not learn",
            "loss",
            f"After {len(loss)} epochs the training loss is {loss[-1]:.3g}, and the "
            f"best prediction that ignores the inputs has {constant:.3g}.",
            "Look at the other findings; `diagnose(model, x, y)` names causes.",
            evidence={"loss": float(loss[-1]), "constant": constant},
            code="keras_deeptools.diagnosis.diagnose(model, x, y)",
            epoch=len(loss),
            confidence=0.9,
            reference="measured",
        )


def learning_rate(
    ratios: np.ndarray, curves: Curves, constant: float, clips: str = ""
) -> Iterator[Finding]:
    """A learning rate far too low or too high, told by the size of updates.

    Args:
        ratios: Float array `(updates, kernels)`, the norm of each update over that of
            the weights.
        curves: Dict from names of logs to a float for each epoch.
        constant: Float, the loss of the best constant prediction; NaN if unknown.
        clips: Str, how an optimizer whose steps follow the size of gradients clips
            them; empty where it does not.
    """
    loss = _known(curves, "loss")
    if len(loss) < 2 or len(ratios) < FIRST or not ratios.size:
        return
    known = np.where(np.isfinite(ratios), ratios, np.nan)
    known = known[~np.isnan(known).all(axis=1)]
    if len(known) < FIRST:
        return
    by_update = np.nanmedian(known, axis=1)
    first, last = np.nanmedian(by_update[:FIRST]), np.nanmedian(by_update[-FIRST:])
    finite = bool(np.isfinite(loss).all())
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
    elif is_small and finite and not falls:
        yield Finding(
            "learning rate too low",
            "optimizer",
            f"An update changes the weights by {first:.1e} of their norm, about 1e-3 "
            f"is usual, and in {len(loss)} epochs the loss went from {loss[0]:.3g} to "
            f"{loss[-1]:.3g}.",
            f"Multiply the learning rate by {10 ** round(math.log10(1e-3 / first)):g}."
            if first > 0
            else "Raise the learning rate.",
            evidence={"ratio": float(first), "usual_ratio": 1e-3},
            code="keras_deeptools.callbacks.find_learning_rate(model, x, y)",
            confidence=0.8,
            reference="measured",
        )
    elif max(first, float(np.nanmax(by_update[:FIRST])) / 5) > LARGE and worse:
        yield Finding(
            "learning rate too high",
            "optimizer",
            f"In the first updates the weights change by {first:.1e} of their norm at "
            "a time, about 1e-3 is usual, and the loss does not come under that of a "
            "constant prediction.",
            "Divide the learning rate by 10 or more.",
            evidence={"ratio": float(first), "usual_ratio": 1e-3},
            code="keras_deeptools.callbacks.find_learning_rate(model, x, y)",
            confidence=0.8,
            reference="measured",
        )


def non_finite(curves: Curves) -> Iterator[Finding]:
    """A loss that is not finite."""
    loss = np.asarray(curves.get("loss", ()), "float64")
    hit = np.flatnonzero(~np.isfinite(loss))
    if len(hit):
        yield Finding(
            "non-finite loss",
            "loss",
            f"The training loss is {loss[hit[0]]} in epoch {hit[0] + 1}.",
            "Look at the data for NaN, at log(0) and division by 0, and lower the "
            "learning rate.",
            evidence={"epoch": int(hit[0]) + 1},
            epoch=int(hit[0]) + 1,
            confidence=0.95,
            reference="IEEE 754 arithmetic",
        )


def _known(curves: Curves, name: str) -> np.ndarray:
    return np.asarray(curves.get(name, ()), "float64")


RULES = (non_finite, diverging, overfitting, plateau, not_comparable)
"""The rules that read curves alone."""
