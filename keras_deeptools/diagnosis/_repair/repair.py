"""Remedies tried on a copy, one after another, and kept where they help."""

import warnings
from collections.abc import Sequence
from typing import Any

import keras

from keras_deeptools._arguments import (
    checked_count,
    checked_model,
    checked_option,
    checked_verbose,
    is_integer,
)
from keras_deeptools._finding import Finding
from keras_deeptools.diagnosis._diagnose.diagnose import findings_of
from keras_deeptools.diagnosis._diagnose.facts import Facts, FitSettings
from keras_deeptools.diagnosis._diagnose.measure import measure
from keras_deeptools.diagnosis._diagnose.ranking import ranked
from keras_deeptools.diagnosis._diagnose.trial import LEAST_STEPS
from keras_deeptools.diagnosis._repair.copies_in_training import Candidate, Trainer
from keras_deeptools.diagnosis._repair.data import OWNER, RepairData, read
from keras_deeptools.diagnosis._repair.result import Repair, RepairStep
from keras_deeptools.diagnosis._repair.search import Search, answer_to
from keras_deeptools.engine._state.random_state import RandomState, seeded

BUDGETS = {"quick": 300, "thorough": 2000}
"""Updates that each training takes at most."""

TRIAL_STEPS = 20
"""Updates of each short training of a diagnosis between two rounds."""

READ = 2
"""Of a dataset, so many times the samples that a training takes are read at most."""


def repair(
    model: keras.Model,
    x: Any,
    y: Any = None,
    findings: Sequence[Finding] | None = None,
    *,
    budget: str | int = "quick",
    validation_data: Any = None,
    sample_weight: Any = None,
    class_weight: dict[int, float] | None = None,
    batch_size: int | None = None,
    epochs: int | None = None,
    shuffle: bool = True,
    seed: int = 0,
    verbose: str | int = 0,
) -> Repair:
    """Applies remedies to copies of a model and keeps those that prove to help.

    Copies with the remedies of the first causes, and one copy without changes, are
    trained from the same seed for an eighth of the budget. A remedy is kept if the
    score on held-out samples rises, and the next one is tried on top of it. If the copy
    remains below what simple models reach, it is diagnosed in turn; the remedies of
    those findings and another learning rate are tried, too. The best copy is trained
    for the whole budget, at a lower learning rate if its score falls, and keeps the
    weights with the best score. The copy without changes is trained in the same way,
    unless it has learned nothing at all, or is far behind after half of the budget.

    The model itself stays as it is. Layers are changed in functional and Sequential
    models, nested or not. In other models, activations, initial weights, penalties and
    dropout rates are set in the copy; make the same changes in the code of the model
    before you save it. The result may also be that nothing helped, or that the fault
    lies in the data.

    Args:
        model: `keras.Model`, compiled.
        x: Data as `fit` takes them: arrays, or a list or dict of arrays; or a dataset
            of pairs (`tf.data`, `PyDataset`, `DataLoader`, generator), of which as many
            samples are read as a training takes. A generator loses these samples.
        y: Targets, if `x` is arrays.
        findings: List of `Finding`, as `diagnose(...).findings`; None makes a
            diagnosis.
        budget: `"quick"`, at most 300 updates for each training; `"thorough"`, at most
            2000; or an int >= 1, the number of updates.
        validation_data: As `fit` takes them; None holds out a fifth.
        sample_weight: As in `fit`.
        class_weight: As in `fit`.
        batch_size: As in `fit`.
        epochs: As planned for `fit`, or None.
        shuffle: As in `fit`.
        seed: Int. All trainings begin with it.
        verbose: 0 for nothing, 1 for a line for each short training.

    Returns:
        `Repair` with `.model`, `.differences`, `.steps`, `.advice`, `.table()` and
        `.plot()`.

    Raises:
        TypeError: If `model` is no `keras.Model`, or `fit` would not accept the data.
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
    for name, value in (("batch_size", batch_size), ("epochs", epochs)):
        if value is not None:
            checked_count(OWNER, name, value)
    checked_verbose(OWNER, verbose)
    needed = READ * int(steps) * (batch_size or 32)
    data = read(x, y, sample_weight, validation_data, needed)
    settings = FitSettings(
        batch_size or data.batch_size,
        epochs,
        shuffle and data.batch_size is None,
        class_weight,
    )
    random = RandomState()
    try:
        with warnings.catch_warnings():
            # What Keras warns of is a finding already.
            warnings.simplefilter("ignore")
            return _repaired(
                model, data, settings, findings, int(steps), seed, bool(verbose)
            )
    finally:
        random.restore()


def _repaired(
    model: keras.Model,
    data: RepairData,
    settings: FitSettings,
    findings: Sequence[Finding] | None,
    budget: int,
    seed: int,
    says: bool,
) -> Repair:
    facts = _measured(model, data, settings, 0)
    given = findings is not None
    known = ranked(findings_of(facts), facts) if findings is None else list(findings)
    advice = {each.kind: answer_to(each) for each in known}
    trainer = Trainer(model, data, facts, seed)
    planned = budget
    if settings.epochs is not None:
        planned = min(settings.epochs * trainer.updates_per_epoch(), budget)

    def diagnose_again(best: Candidate) -> tuple[Facts, Sequence[Finding]]:
        arrays = best.recipe.arrays(data.x, data.y, data.weight)
        copy = trainer.started(best.recipe).model
        changed = RepairData(*arrays, data.x_val, data.y_val)
        used = FitSettings(
            best.recipe.fit.get("batch_size", settings.batch_size),
            settings.epochs,
            best.recipe.fit.get("shuffle", settings.shuffle),
            best.recipe.fit.get("class_weight", settings.class_weight),
        )
        steps = min(TRIAL_STEPS, max(planned // 8, LEAST_STEPS))
        again = _measured(copy or model, changed, used, steps)
        more = ranked(findings_of(again), again)
        advice.update({each.kind: answer_to(each) for each in more})
        return again, more

    def say(text: str) -> None:
        if says and text:
            print(f"{OWNER}: {text}", flush=True)

    say(data.text)
    search = Search(
        trainer,
        planned,
        budget,
        facts,
        None if given else diagnose_again,
        say,
    )
    with seeded(seed):
        original, best = search.run(known)
    helped = best is not original
    if original.failure:
        advice["cannot be trained"] = f"The model cannot be trained: {original.failure}"
    if not search.never_learns():
        # A network may find what simple models do not.
        advice.pop("labels without information", None)
    return Repair(
        best.model if helped else None,
        _told(best, model) if helped else (),
        tuple(
            RepairStep(
                each.finding,
                tuple(each.candidate.recipe.differences(model)),
                each.score,
                each.kept and helped,
                each.candidate.failure,
            )
            for each in search.tried
        ),
        original.score,
        best.score,
        original.losses,
        best.losses if helped else (),
        dict(best.recipe.fit),
        original.updates,
        best.updates if helped else 0,
        tuple(text for text in advice.values() if text),
        best.preprocessing,
    )


def _told(best: Candidate, model: keras.Model) -> tuple[str, ...]:
    """What differs in a copy and in the course of its training."""
    course = [f"+ training: {text}" for text in best.course]
    return (*best.recipe.differences(model), *course)


def _measured(
    model: keras.Model, data: RepairData, settings: FitSettings, trial_steps: int
) -> Facts:
    return measure(
        model,
        data.x,
        data.y,
        settings,
        sample_weight=data.weight,
        validation_data=(data.x_val, data.y_val),
        trial_steps=trial_steps,
    )
