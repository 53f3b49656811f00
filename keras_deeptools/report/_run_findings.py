"""What the numbers of a run show to be wrong with it."""

import numpy as np

from keras_deeptools._finding import Finding
from keras_deeptools.report._logged_run import Run

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
                "loss",
                f"The loss is {losses[broken.argmax()]} from epoch {first} on.",
                "Lower the learning rate (`find_learning_rate`), clip gradients "
                "(`GradientClipper`), or look for values in the data that are not "
                "finite.",
                evidence={"loss": losses[broken.argmax()]},
                epoch=first,
            )
        ]
    if len(losses) >= LATER and losses.min() >= losses[0]:
        return [
            Finding(
                "no learning",
                "loss",
                f"The training loss was {losses[0]:.4g} after the first epoch and "
                f"never lower, in {len(losses)} epochs.",
                "Watch the gradients (`GradientMonitor`), run `diagnosis.audit`, and "
                "find a rate with `find_learning_rate`.",
                evidence={"first_loss": losses[0], "least_loss": losses.min()},
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
            "val_loss",
            f"The validation loss rose from {values[best]:.4g} in epoch {epochs[best]} "
            f"to {values[-1]:.4g}, while the training loss went on falling.",
            "Keep the weights of the best epoch (`EarlyStopping` with "
            "`restore_best_weights`); regularize: dropout, `MaxNormEnforcer`, label "
            "smoothing; get or make more data.",
            severity="warning",
            evidence={
                "best_val_loss": values[best],
                "last_val_loss": values[-1],
                "most_lost_part": LOST,
            },
            code=f"keras.callbacks.EarlyStopping(patience={LATER}, "
            "restore_best_weights=True)",
            epoch=int(epochs[best]),
        )
    ]
