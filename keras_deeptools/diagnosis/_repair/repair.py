"""Remedies tried on a copy, one after another, and kept where they help."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import (
    checked_count,
    checked_model,
    checked_option,
    checked_verbose,
    is_integer,
)
from keras_deeptools._finding import Finding
from keras_deeptools.diagnosis._diagnose.diagnose import findings_of
from keras_deeptools.diagnosis._diagnose.facts import Facts, FitSettings, measure
from keras_deeptools.diagnosis._diagnose.ranking import ranked
from keras_deeptools.diagnosis._repair.held_out import score_of, split
from keras_deeptools.diagnosis._repair.recipe import Recipe
from keras_deeptools.diagnosis._repair.remedies import REMEDIES, Case
from keras_deeptools.diagnosis._repair.result import Repair, RepairStep
from keras_deeptools.engine._state.random_state import RandomState

OWNER = "repair"
BUDGETS = {"quick": 300, "thorough": 2000}
"""Updates that each training takes at most."""

MOST_TRIED = 5
LEAST_GAIN = 0.005
"""By so much the score must rise for a change to be kept."""

GOOD = 0.995
"""A score from which on nothing more is tried."""


@dataclass(frozen=True, eq=False)
class _Data:
    """Training and held-out samples."""

    x: Any
    y: Any
    x_val: Any
    y_val: Any


def repair(
    model: keras.Model,
    x: Any,
    y: Any,
    findings: Sequence[Finding] | None = None,
    *,
    budget: str | int = "quick",
    validation_data: Any = None,
    batch_size: int | None = None,
    epochs: int | None = None,
    shuffle: bool = True,
    seed: int = 0,
    verbose: str | int = 0,
) -> Repair:
    """Applies remedies to a copy of a model and keeps those that prove to help.

    The original is trained first, for the budget, and is then put back to where it
    was. A copy with the remedy of the first cause is trained in the same way from the
    same seed; where it does better on held-out samples the remedy is kept, and the
    next one is tried on top of it. The user's model stays as it is. That nothing
    helped is an answer too.

    Args:
        model: `keras.Model`, compiled; functional or Sequential for remedies that
            change layers.
        x: Inputs: an array, or a list or dict of arrays.
        y: Targets, an array.
        findings: List of `Finding`, as `diagnose(...).findings`; None makes a
            diagnosis.
        budget: `"quick"`, at most 300 updates for each training; `"thorough"`, at most
            2000; or an int >= 1, how many.
        validation_data: Tuple of inputs and targets; None holds out a fifth.
        batch_size: As in `fit`.
        epochs: As planned for `fit`, or None.
        shuffle: As in `fit`.
        seed: Int. All trainings begin with it.
        verbose: 0 for nothing, 1 for a line for each training.

    Returns:
        `Repair` with `.model`, `.differences`, `.steps`, `.table()` and `.plot()`.

    Raises:
        TypeError: If `model` is no `keras.Model`, or the data are no arrays.
        ValueError: If the model is not compiled, or an option is out of range.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.diagnosis import repair
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(512, 4)).astype("float32")
    >>> y = (x[:, 0] > 0).astype("int32")
    >>> end = keras.layers.Dense(1, "softmax", name="end")
    >>> model = keras.Sequential([keras.Input((4,)), end])
    >>> model.compile(keras.optimizers.Adam(0.05), "binary_crossentropy")
    >>> result = repair(model, x, y)
    >>> result.helped, result.score_after > 0.9
    (True, True)
    >>> result.differences[1]
    "+ end: activation='sigmoid'"
    """
    checked_model(OWNER, model)
    if not model.compiled:
        raise ValueError(
            f"{OWNER}: `model` must be compiled. Received: {model.name!r}, which is "
            "not. Call `model.compile(optimizer, loss=...)` first."
        )
    steps = budget if is_integer(budget) else 0
    if steps:
        checked_count(OWNER, "budget", budget)
    else:
        steps = BUDGETS[checked_option(OWNER, "budget", budget, list(BUDGETS))]
    checked_verbose(OWNER, verbose)
    data = _arrays_of(x, y, validation_data)
    settings = FitSettings(batch_size, epochs, shuffle)
    facts = measure(model, data.x, data.y, settings, validation_data=validation_data)
    found = list(ranked(findings_of(facts), facts)) if findings is None else findings
    random = RandomState()
    try:
        with warnings.catch_warnings():
            # What Keras warns of is a finding already.
            warnings.simplefilter("ignore")
            trying = _Trying(model, data, facts, int(steps), seed, bool(verbose))
            return trying.run(found)
    finally:
        random.restore()


def _arrays_of(x: Any, y: Any, validation_data: Any) -> _Data:
    try:
        x = keras.tree.map_structure(np.asarray, x)
        y = np.asarray(y)
        lengths = {len(each) for each in [*keras.tree.flatten(x), y]}
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{OWNER}: `x` and `y` must be arrays. Received: {type(x).__name__} and "
            f"{type(y).__name__}. Collect the samples of a dataset first."
        ) from error
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(
            f"{OWNER}: `x` and `y` must have the same number of samples. Received: "
            f"{', '.join(map(str, sorted(lengths)))}."
        )
    if validation_data is None:
        return _Data(*split(x, y))
    x_val, y_val = tuple(validation_data)[:2]
    return _Data(x, y, keras.tree.map_structure(np.asarray, x_val), np.asarray(y_val))


class _Trying:
    """Trainings of copies within a budget."""

    def __init__(
        self,
        model: keras.Model,
        data: _Data,
        facts: Facts,
        steps: int,
        seed: int,
        says: bool,
    ) -> None:
        self._original, self._data, self._facts = model, data, facts
        self._steps, self._seed, self._says = steps, seed, says

    def run(self, findings: Sequence[Finding]) -> Repair:
        """Tries the remedies in their order."""
        before, first, _ = self._trained(Recipe())
        best, recipe, history, model = before, Recipe(), first, None
        steps: list[RepairStep] = []
        done: set[Any] = set()
        for finding in findings:
            remedy = REMEDIES.get(finding.kind)
            if remedy is None or remedy in done or finding.severity == "note":
                continue
            if len(steps) >= MOST_TRIED or best >= GOOD:
                break
            changed = remedy(Case(self._facts, finding, recipe))
            if changed is None:
                continue
            done.add(remedy)
            score, losses, copy = self._trained(changed)
            kept = score > best + LEAST_GAIN or (
                math.isinf(best) and not math.isinf(score)
            )
            lines = tuple(changed.differences(self._original))
            steps.append(RepairStep(finding, lines, score, kept))
            self._say(finding.kind, score, kept)
            if kept:
                best, recipe, history, model = score, changed, losses, copy
        return Repair(
            model,
            tuple(recipe.differences(self._original)) if model is not None else (),
            tuple(steps),
            before,
            best,
            first,
            history if model is not None else (),
            dict(recipe.fit),
        )

    def _trained(self, recipe: Recipe) -> tuple[float, list[float], keras.Model | None]:
        """Score, losses and the model, after training with a recipe."""
        x, y = recipe.arrays(self._data.x, self._data.y)
        settings = self._facts.settings
        arguments: dict[str, Any] = {
            "batch_size": settings.batch_size,
            "shuffle": settings.shuffle,
            **recipe.fit,
        }
        batches = max(-(-len(y) // (arguments["batch_size"] or 32)), 1)
        epochs = max(1, min(settings.epochs or 10**6, self._steps // batches))
        keras.utils.set_random_seed(self._seed)
        try:
            copy = recipe.build(self._original)
            history = copy.fit(x, y, epochs=epochs, verbose=0, **arguments)
            outputs = copy.predict(self._data.x_val, verbose=0)
        except Exception:
            # What cannot be trained has no score; diagnose says why.
            return -math.inf, [], None
        targets = self._facts.outputs[0].targets if self._facts.outputs else None
        if targets is None:
            return -math.inf, [], None
        flat = keras.tree.flatten(outputs)
        score = score_of(flat[0], self._data.y_val, targets)
        return score, [float(loss) for loss in history.history["loss"]], copy

    def _say(self, kind: str, score: float, kept: bool) -> None:
        if self._says:
            what = "kept" if kept else "no help"
            print(f"repair: {kind}: {score:.3g}, {what}", flush=True)
