"""Learning curves and losses of batches, and what they show."""

import collections
import math
import operator
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_deeptools._finding import Finding
from keras_deeptools.engine._backends.common import on_host

Curves = Mapping[str, Sequence[float]]

PATIENCE = 3
"""Epochs in a row that a state must last."""

OVERFITS = 0.1
"""Part of its least value by which the validation loss must have risen."""

FLAT = 0.01
"""Relative change of the loss over `PATIENCE` epochs that counts as none."""

PRECHELT = "Prechelt, 1998, Early stopping - but when?, section 2"

READ_PER_EPOCH = 24
"""How often in an epoch losses of batches are read."""

UNKNOWN_STEPS = 400
"""Batches taken for an epoch of data whose number is not known."""


def diverging(curves: Curves) -> Iterator[Finding]:
    """A loss that has risen far above what it was."""
    loss = known(curves, "loss")
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
    train, valid = known(curves, "loss"), known(curves, "val_loss")
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
    loss = known(curves, "loss")
    if len(loss) < 2 * PATIENCE + 1 or not np.isfinite(loss).all():
        return
    before, now = loss[-2 * PATIENCE : -PATIENCE].mean(), loss[-PATIENCE:].mean()
    fell = loss[0] - before
    change = (before - now) / max(abs(before), 1e-12)
    noise = float(np.abs(np.diff(loss[-2 * PATIENCE :])).mean())
    # The means of three epochs differ by about as much where nothing changes.
    moves = noise > abs(before - now) and noise > FLAT * abs(before)
    if fell > 0.1 * abs(loss[0]) and moves:
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


def has_settled(curves: Curves) -> bool:
    """Whether the training loss falls no more.

    Args:
        curves: Dict from names of logs to a float for each epoch.
    """
    loss = known(curves, "loss")
    if len(loss) < PATIENCE + 2 or not np.isfinite(loss).all():
        return False
    before, now = float(loss[-PATIENCE - 1]), float(loss[-PATIENCE:].mean())
    return before - now < FLAT * abs(before)


def not_comparable(curves: Curves) -> Iterator[Finding]:
    """A validation loss of another size than the training loss from the start.

    In the first epoch no sample has been trained on before, so that the training loss
    tells what the loss on new samples should be.
    """
    train, valid = known(curves, "loss"), known(curves, "val_loss")
    if len(valid) < 2 or len(train) != len(valid):
        return
    if not np.isfinite([*valid, *train]).all() or train[-1] > train[0]:
        return
    first = max(float(train[0]), 1e-12)
    ratio, least = float(valid[0]) / first, float(valid.min()) / first
    if ratio > 3 and least > 2:
        yield Finding(
            "validation that is not comparable",
            "val_loss",
            f"After the first epoch the validation loss is {ratio:.3g} times the "
            "training loss of that epoch, in which all samples were new too, and it "
            f"never comes under {least:.3g} times.",
            "Look at whether both data sets are scaled and labelled in the same way, "
            "and whether validation has the same classes.",
            severity="problem" if least > 10 else "warning",
            evidence={"ratio": ratio, "least": least},
            code="model.evaluate(x[:1000], y[:1000])  # must be near the training loss",
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
    loss = known(curves, "loss")
    if len(loss) < 2 or not np.isfinite(loss).all():
        return
    best = float(loss[1:].min())
    if math.isnan(constant):
        if len(loss) > PATIENCE and best > loss[0] - FLAT * abs(loss[0]):
            yield Finding(
                "does not learn",
                "loss",
                f"After {len(loss)} epochs the training loss is {loss[-1]:.3g}, and "
                f"it began with {loss[0]:.3g}.",
                "Look at the other findings; `diagnose(model, x, y)` names causes.",
                severity="warning",
                evidence={"loss": float(loss[-1]), "first": float(loss[0])},
                code="keras_deeptools.diagnosis.diagnose(model, x, y)",
                epoch=len(loss),
                confidence=0.6,
                reference="measured",
            )
        return
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


def known(curves: Curves, name: str) -> np.ndarray:
    """The values of one curve.

    Args:
        curves: Dict from names of logs to a float for each epoch.
        name: Str.
    """
    return np.asarray(curves.get(name, ()), "float64")


RULES = (non_finite, diverging, overfitting, plateau, not_comparable)
"""The rules that read curves alone."""


class BatchLosses:
    """Reads the losses of some batches, without waiting for the device.

    Keras hands on the logs of a batch in a thread of its own while the next batches
    are trained, if all callbacks allow it; `add` may be called there. `read` belongs to
    the thread of the training. The running means after two batches tell the loss of the
    second.

    Args:
        num_steps: Int, batches of an epoch; 0 where that is not known.
        is_mean: Bool, whether logs hold the running mean of the epoch. A train step of
            the user's may report anything.
        at_once: Int, batches that one call of the compiled step runs.

    Attributes:
        values: List of floats, losses of batches, or means of those that are run at
            once (`steps_per_execution`).
        num_batches: Int, batches of this epoch, as far as they were read.
        first_bad: Int or None, the batch of this epoch whose loss is the first that is
            not finite, as far as it was read.
    """

    def __init__(self, num_steps: int, is_mean: bool, at_once: int = 1) -> None:
        self.values: list[float] = []
        self._at_once = at_once
        self._is_mean = is_mean
        self._every = max((num_steps or UNKNOWN_STEPS) // READ_PER_EPOCH, 2)
        self.begin_epoch()

    def begin_epoch(self) -> None:
        """Forgets the logs of the epoch before."""
        self.first_bad: int | None = None
        self.num_batches = self._count = 0
        self._total, self._next = 0.0, self._every
        self._waiting: collections.deque[tuple[int, Any]] = collections.deque()

    def add(self, batch: int, logs: dict[str, Any] | None) -> None:
        """Keeps the loss.

        Args:
            batch: Int, the number of the last batch that was run.
            logs: Dict, as `on_train_batch_end` gets it.
        """
        self._waiting.append((batch, (logs or {}).get("loss")))

    def is_time(self, batch: int) -> bool:
        """Whether losses should be read before the training of this batch."""
        return batch >= self._next

    def read(self, is_end: bool = False) -> float | None:
        """Reads the losses that have arrived; the latest mean, or None without one.

        Which losses are kept depends on their batches alone, not on when they arrive:
        what comes after a batch that is still missing has to wait.

        Args:
            is_end: Bool, whether the epoch is over, so that nothing is missing.
        """
        mean = None
        arrived = [self._waiting.popleft() for _ in range(len(self._waiting))]
        arrived.sort(key=operator.itemgetter(0))
        for place, (batch, value) in enumerate(arrived):
            before = self.num_batches
            if not is_end and batch + 1 - before > self._at_once:
                self._waiting.extendleft(reversed(arrived[place:]))
                break
            self.num_batches = batch + 1
            self._count += 1
            if value is None:
                continue
            mean = _number(value)
            total = mean * (batch + 1)
            if self._is_mean and self._count % self._every in (0, self._every - 1):
                self.values.append((total - self._total) / max(batch + 1 - before, 1))
            self._total = total
            if self.first_bad is None and not math.isfinite(mean):
                self.first_bad = batch
        self._next = self.num_batches + self._every
        return mean


def _number(value: Any) -> float:
    return float(on_host(value)) if keras.ops.is_tensor(value) else float(value)
