"""Copies of a model that are trained for a while, scored, and may go on later."""

import math
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from keras_deeptools.diagnosis._diagnose.facts import Facts
from keras_deeptools.diagnosis._diagnose.trial import learning_rates
from keras_deeptools.diagnosis._repair.data import (
    RepairData,
    length_of,
    score_of_all,
    taken,
)
from keras_deeptools.diagnosis._repair.recipe import Recipe
from keras_deeptools.engine import Snapshot
from keras_deeptools.engine._state.random_state import reseed

BATCH_SIZE = 32
"""The batch size of `fit` by default."""

LOOKS = 4
"""Times at which the score is looked at in the last part of a training."""

FALL = 0.01
"""So much less than the best score is a reason to go on at a lower learning rate."""

CALMER = 0.3
"""Factor of a learning rate that is lowered in a training."""


@dataclass(eq=False)
class Candidate:
    """A copy in training.

    Attributes:
        recipe: `Recipe`, what differs from the original.
        model: `keras.Model`; None where it cannot be made, as `failure` says.
        updates: Int, how many it has had.
        scores: Dict from the number of updates to the score on held-out samples.
        losses: List of floats, the training loss of each pass.
        preprocessing: `keras.Model` that inputs pass first, or None.
        course: List of str, what was done in the course of the training.
        failure: Str, why it cannot be trained; empty where it can.
    """

    recipe: Recipe
    model: Any = None
    updates: int = 0
    scores: dict[int, float] = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)
    preprocessing: keras.Model | None = None
    course: list[str] = field(default_factory=list)
    failure: str = ""

    @property
    def score(self) -> float:
        """The last score; minus infinity where there is none."""
        if self.failure or not self.scores:
            return -math.inf
        return self.scores[max(self.scores)]


class Trainer:
    """Makes and trains copies of a model on the same data from the same seed.

    To be used in a block of `seeded`.

    Args:
        model: `keras.Model`, the original.
        data: `RepairData`.
        facts: `Facts` of the original.
        seed: Int.
    """

    def __init__(
        self, model: keras.Model, data: RepairData, facts: Facts, seed: int
    ) -> None:
        self._original, self._data, self._facts, self._seed = model, data, facts, seed

    def updates_per_epoch(self, recipe: Recipe | None = None) -> int:
        """How many batches one pass over the training samples has."""
        size = self._arguments(recipe or Recipe())["batch_size"]
        return max(-(-self._data.num_samples // size), 1)

    def differ(self, recipe: Recipe, other: Recipe) -> bool:
        """Whether two recipes change the model in other ways."""
        if recipe.layers != other.layers:
            return True
        both = (recipe.differences(self._original), other.differences(self._original))
        return both[0] != both[1]

    def started(self, recipe: Recipe) -> Candidate:
        """A copy that has not been trained."""
        reseed(self._seed)
        try:
            made = Candidate(recipe, recipe.build(self._original, self._data.x))
            made.preprocessing = recipe.preprocessing(self._original, self._data.x)
            return made
        except Exception as error:
            return Candidate(recipe, failure=_reason(error))

    def advance(self, candidate: Candidate, updates: int) -> Candidate:
        """Trains a copy up to a number of updates, and scores it there."""
        if candidate.failure or updates <= candidate.updates:
            return candidate
        reseed(self._seed + candidate.updates)
        try:
            self._train(candidate, updates - candidate.updates)
            candidate.scores[updates] = self._score(candidate)
        except Exception as error:
            # What cannot be trained has no score.
            candidate.failure = _reason(error)
        candidate.updates = updates
        return candidate

    def finish(self, candidate: Candidate, updates: int, calms: bool) -> Candidate:
        """Trains a copy to its end, and keeps the weights that scored best on the way.

        What it is worth varies from pass to pass, above all at high learning rates.

        Args:
            candidate: `Candidate`.
            updates: Int, at the end.
            calms: Bool, whether to go on from the best weights at a lower learning rate
                where the score has fallen.
        """
        if candidate.failure:
            return candidate
        # Schedules fall by themselves.
        rates = [
            (optimizer, rate)
            for optimizer, rate in learning_rates(candidate.model)
            if calms and isinstance(rate, float)
        ]
        factor, best, at = 1.0, candidate.score, candidate.updates
        snapshot = None
        for end in self._looks(candidate, updates):
            snapshot = snapshot or Snapshot(candidate.model)
            self.advance(candidate, end)
            if candidate.failure and not math.isfinite(best):
                return candidate
            if candidate.score >= best:
                best, at = candidate.score, end
                snapshot = Snapshot(candidate.model)
            elif candidate.failure or (rates and candidate.score < best - FALL):
                snapshot.restore()
                candidate.failure = ""
                if end == updates or not rates:
                    break
                factor *= CALMER
                for optimizer, rate in rates:
                    optimizer.learning_rate = factor * rate
                candidate.course.append(
                    f"learning rate times {factor:.2g} after {end} updates"
                )
        if snapshot is not None and at != candidate.updates:
            snapshot.restore()
            candidate.scores[candidate.updates] = best
            candidate.course.append(f"weights as after {at} updates, which scored best")
        return candidate

    def _looks(self, candidate: Candidate, updates: int) -> list[int]:
        """Updates after which to look at the score, at ends of passes if it can be."""
        start, per_epoch = candidate.updates, self.updates_per_epoch(candidate.recipe)
        if start >= updates:
            return []
        ends = [start + (updates - start) * n // LOOKS for n in range(1, LOOKS)]
        if updates - start >= per_epoch:
            ends = [round(end / per_epoch) * per_epoch for end in ends]
        return [*sorted({end for end in ends if start < end < updates}), updates]

    def _train(self, candidate: Candidate, updates: int) -> None:
        recipe, model = candidate.recipe, candidate.model
        arguments = self._arguments(recipe)
        x, y, weight = recipe.arrays(self._data.x, self._data.y, self._data.weight)
        x = _prepared(candidate, x)
        size, rows = arguments["batch_size"], length_of(x)
        per_epoch = max(-(-rows // size), 1)
        done = candidate.updates
        while updates > 0:
            epochs = updates // per_epoch
            part = (x, y, weight)
            if not epochs:
                first = done % per_epoch * size
                chosen = np.arange(first, min(first + updates * size, rows))
                if arguments["shuffle"]:
                    # Another part of one and the same order each time.
                    seed = [self._seed, done // per_epoch]
                    order = np.random.default_rng(seed).permutation(rows)
                    chosen = np.sort(order[chosen])
                part = taken(part, chosen)
            history = model.fit(
                part[0],
                part[1],
                sample_weight=part[2],
                epochs=max(epochs, 1),
                verbose=0,
                **arguments,
            )
            curves = history.history
            losses = curves.get("loss", next(iter(curves.values()), ()))
            candidate.losses += [float(loss) for loss in losses]
            trained = epochs * per_epoch if epochs else -(-len(chosen) // size)
            done, updates = done + trained, updates - trained

    def _arguments(self, recipe: Recipe) -> dict[str, Any]:
        settings = self._facts.settings
        size = settings.batch_size or self._data.batch_size or BATCH_SIZE
        arguments: dict[str, Any] = {
            "batch_size": size,
            "shuffle": settings.shuffle,
            "class_weight": settings.class_weight,
            **recipe.fit,
        }
        arguments.pop("epochs", None)
        return arguments

    def _score(self, candidate: Candidate) -> float:
        model, data = candidate.model, self._data
        x_val = _prepared(candidate, data.x_val)
        targets = [each.targets for each in self._facts.outputs]
        if data.y_val is not None and any(each is not None for each in targets):
            outputs = model.predict(x_val, verbose=0, batch_size=256)
            found = score_of_all(outputs, data.y_val, targets)
            if not math.isnan(found):
                return found
        if candidate.recipe.losses or candidate.recipe.loss_weight is not None:
            raise ValueError("no score that holds for two losses")
        logs = model.evaluate(x_val, data.y_val, verbose=0, return_dict=True)
        loss = float(logs.get("loss", next(iter(logs.values()))))
        return -loss if math.isfinite(loss) else -math.inf


def _prepared(candidate: Candidate, x: Any) -> Any:
    if candidate.preprocessing is None:
        return x
    return candidate.preprocessing.predict(x, verbose=0, batch_size=256)


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"
