"""Predictions for the same samples after every epoch, and what they show."""

import contextlib
import math
from collections.abc import Iterator

import keras
import numpy as np

from keras_deeptools._finding import Finding
from keras_deeptools.diagnosis._audit.output_ends import output_ends
from keras_deeptools.diagnosis._diagnose.baselines import constant_loss, probe
from keras_deeptools.diagnosis._diagnose.facts import TargetFacts
from keras_deeptools.diagnosis._diagnose.measure import target_facts
from keras_deeptools.diagnosis._training_doctor.curves import Curves, has_settled
from keras_deeptools.diagnosis._training_doctor.given import Given
from keras_deeptools.diagnosis._training_doctor.predictions import Predictions
from keras_deeptools.diagnosis._training_doctor.samples import (
    OddLabels,
    one_class,
    underfitting,
)
from keras_deeptools.engine._keras_private.training import loss_given


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
