"""Predictions for the same samples after every epoch, and what they show."""

import contextlib
import math
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from keras_deeptools._finding import Finding
from keras_deeptools.diagnosis._audit.subject import output_ends
from keras_deeptools.diagnosis._diagnose.baselines import constant_loss, probe
from keras_deeptools.diagnosis._diagnose.facts import TargetFacts
from keras_deeptools.diagnosis._diagnose.measure import target_facts
from keras_deeptools.diagnosis._repair.data import score_of
from keras_deeptools.diagnosis._training_doctor.curves import Curves, has_settled
from keras_deeptools.diagnosis._training_doctor.given import Given
from keras_deeptools.engine._backends.active import programs, training
from keras_deeptools.engine._backends.common import on_host
from keras_deeptools.engine._keras_private.training import loss_given
from keras_deeptools.engine._state.random_state import RandomState
from keras_deeptools.engine._state.snapshot import ModuleState
from keras_deeptools.engine._state.temporary_weights import ModelFunction

LEAST_SAMPLES = 20
MOST_LISTED = 10
SURE = 0.95
LEAST_SCORE = 0.8
"""Below this accuracy, or part of the variance, it is the model that is wrong."""

LAST = 3
"""Epochs in a row in which a sample must stand out."""

FAR = 10.0
"""Residuals, in usual ones, that stand out."""


def one_class(outputs: Any, targets: TargetFacts) -> Iterator[Finding]:
    """One class predicted for all samples.

    Args:
        outputs: Array `(samples, units)` or `(samples,)`.
        targets: `TargetFacts` of the same samples.
    """
    if not _is_flat(outputs) or not targets.is_classes or targets.num_classes < 2:
        return
    out = np.asarray(outputs, "float64").reshape(len(outputs), -1)
    if len(out) < LEAST_SAMPLES or not np.isfinite(out).all():
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


def underfitting(
    outputs: Any, y: Any, targets: TargetFacts, simple: Mapping[str, float]
) -> Iterator[Finding]:
    """A model that is worse on its own samples than simple ones are on new ones.

    Args:
        outputs: Array `(samples, ...)`, what the model predicts.
        y: Targets of the samples.
        targets: `TargetFacts` of them.
        simple: Dict, as `probe` returns it.
    """
    if not simple or not np.isfinite(outputs).all():
        return
    score = score_of(outputs, y, targets)
    gap = simple["score"] - score
    if gap > max(3 * simple["error"], 0.05) and simple["score"] > simple["chance"]:
        what = "accuracy" if targets.is_classes else "part of the variance explained"
        yield Finding(
            "underfitting",
            "the model",
            f"The loss falls no more, and for samples of the training data the {what} "
            f"is {score:.2f}; a linear model and the nearest neighbours reach "
            f"{simple['score']:.2f} on samples that they have not seen.",
            "Use more units or layers, less regularization, and look at the learning "
            "rate and at the scale of the inputs.",
            severity="warning",
            evidence={"score": score, "simple_models": simple["score"]},
            code="keras_deeptools.diagnosis.diagnose(model, x, y)",
            confidence=0.7,
            reference="Goodfellow et al., 2016, Deep Learning, section 5.2",
        )


class OddLabels:
    """Samples whose label a model that is right elsewhere never agrees with."""

    def __init__(self) -> None:
        self._seen: list[np.ndarray] = []
        self._score = 0.0

    def add(self, outputs: Any, y: Any, targets: TargetFacts) -> None:
        """Notes which samples stand out after one epoch.

        Args:
            outputs: Array `(samples, ...)`.
            y: Targets of the samples.
            targets: `TargetFacts` of them.
        """
        if not _is_flat(outputs) or not np.isfinite(outputs).all():
            return
        out = np.asarray(outputs, "float64").reshape(len(outputs), -1)
        if targets.is_classes:
            odd = _with_another_class(out, targets)
        elif targets.kind == "quantities" and targets.shape in ((), (1,)):
            odd = _far_off(out, np.asarray(y, "float64").reshape(len(out), -1))
        else:
            return
        # One outlier is all of the variance, so that the others are judged alone.
        self._seen.append(odd)
        self._score = 0.0
        if odd.mean() < 0.5:
            usual = np.asarray(y)[~odd]
            self._score = score_of(np.asarray(outputs)[~odd], usual, targets)

    def findings(self, positions: np.ndarray | None = None) -> Iterator[Finding]:
        """The samples that stood out after each of the last epochs.

        Args:
            positions: Int array, where the samples stand in the user's data; None if
                they are its first ones.
        """
        if len(self._seen) < LAST or self._score < LEAST_SCORE:
            return
        always = np.all(self._seen[-LAST:], axis=0)
        hit = np.flatnonzero(always)
        if not 0 < len(hit) < 0.2 * len(always):
            return
        places = hit if positions is None else positions[hit]
        yield Finding(
            "labels that look wrong",
            "y",
            f"{len(hit)} of the {len(always)} samples that were looked at had the "
            f"largest losses after each of {LAST} epochs, with predictions far from "
            f"their labels, while {self._score:.0%} of the others is right.",
            "Look at these samples.",
            severity="note",
            evidence={"samples": len(hit), "score": self._score},
            code=f"x[{[int(each) for each in places[:MOST_LISTED]]}]",
            samples=tuple(int(each) for each in places[:MOST_LISTED]),
            confidence=0.5,
            reference="Northcutt et al., 2021, Confident learning, section 3",
        )


def _is_flat(outputs: Any) -> bool:
    """Whether there is one prediction for each sample."""
    shape = np.shape(outputs)
    return len(shape) == 1 or len(shape) == 2


def _with_another_class(out: np.ndarray, targets: TargetFacts) -> np.ndarray:
    """Predictions that are sure of another class."""
    labels = np.asarray(targets.labels)
    if out.shape[1] > 1:
        known = targets.classes[labels].astype(int)
        if known.min() < 0 or known.max() >= out.shape[1]:
            return np.zeros(len(out), bool)
        if out.min() < 0 or not np.allclose(out.sum(axis=1), 1, atol=1e-3):
            out = np.exp(out - out.max(axis=1, keepdims=True))
            out /= out.sum(axis=1, keepdims=True)
        return out[np.arange(len(out)), known] < 1 - SURE
    yes = (
        out[:, 0] if 0 <= out.min() <= out.max() <= 1 else 1 / (1 + np.exp(-out[:, 0]))
    )
    return np.where(labels == labels.max(), yes, 1 - yes) < 1 - SURE


def _far_off(out: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Residuals that are far larger than usual."""
    if out.shape != wanted.shape:
        return np.zeros(len(out), bool)
    apart = np.abs(out - wanted)[:, 0]
    return apart > FAR * max(float(np.median(apart)), 1e-12)


class Predictions:
    """A compiled pass in inference that leaves the model as it is.

    Args:
        model: Built `keras.Model`.
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        self._function = ModelFunction(model)
        self._program = programs.compiled(
            lambda weights, states, x: self._function(weights, states, x, False)[0]
        )

    def __call__(self, x: Any) -> list[np.ndarray]:
        """The outputs as arrays.

        Args:
            x: Inputs, as the model takes them.
        """
        training.synchronize(self.model)
        random, modules = RandomState(), ModuleState(self.model)
        inputs = keras.tree.map_structure(
            lambda v: None if v is None else keras.ops.convert_to_tensor(v), x
        )
        try:
            out = self._program(
                [variable.value for variable in self._function.trainable],
                [variable.value for variable in self._function.states],
                inputs,
            )
        finally:
            modules.restore()
            random.restore()
        return [np.asarray(on_host(each)) for each in keras.tree.flatten(out)]


class SampleWatch:
    """Watches the predictions of a model with one output and targets for it.

    Args:
        model: `keras.Model`.
        given: `Given`, with the samples.

    Attributes:
        constant_loss: Float, the loss of the best constant prediction; NaN where it is
            not known.
    """

    def __init__(self, model: keras.Model, given: Given) -> None:
        self.constant_loss = math.nan
        self.model, self._given = model, given
        self._predictions: Predictions | None = None
        self._outputs: np.ndarray | None = None
        self._labels = OddLabels()
        self._targets: TargetFacts | None = None
        self._simple: dict[str, float] | None = None
        flat = [] if given.y is None else keras.tree.flatten(given.y)
        if given.x is not None and len(flat) == 1:
            self._y = flat[0]
            self._targets = target_facts(flat[0])

    def look(self) -> None:
        """Predicts, after an epoch."""
        if self._targets is None or not self.model.built:
            return
        if self._predictions is None:
            self._predictions = Predictions(self.model)
            self.constant_loss = self._of_constant()
        self._outputs = None
        # A model whose own `train_step` calls it in another way shows nothing.
        with contextlib.suppress(Exception):
            [self._outputs] = self._predictions(self._given.x)
        if self._outputs is not None:
            self._labels.add(self._outputs, self._y, self._targets)

    def findings(self, known: Curves) -> Iterator[Finding]:
        """What the latest predictions show.

        Args:
            known: Curves of the training so far.
        """
        if self._outputs is None or self._targets is None:
            return
        yield from one_class(self._outputs, self._targets)
        yield from self._labels.findings(self._given.positions)
        if has_settled(known):
            if self._simple is None:
                self._simple = {}
                with contextlib.suppress(Exception):
                    self._simple = probe(self._given.x, self._targets, self._y)
            yield from underfitting(self._outputs, self._y, self._targets, self._simple)

    def _of_constant(self) -> float:
        """The loss of the best constant prediction, for one of Keras' losses."""
        with contextlib.suppress(Exception):
            [end] = output_ends(self.model)
            if end.loss is not None:
                return constant_loss(loss_given(self.model), end, self._y)
        return math.nan
