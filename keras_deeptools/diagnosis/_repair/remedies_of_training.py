"""Changes of the optimizer and of the arguments of `fit`."""

from dataclasses import replace
from typing import Any

import keras
import numpy as np

from keras_deeptools.diagnosis._diagnose.trial import rate_set, schedule_set
from keras_deeptools.diagnosis._repair.recipe import Case, Recipe, Recipes
from keras_deeptools.engine._backends.common import on_host
from keras_deeptools.schedules import Scaled

RATES = {"SGD": 0.01, "Adadelta": 1.0, "Adagrad": 0.01, "Ftrl": 0.01, "Lion": 1e-4}
USUAL_RATE = 1e-3
"""Learning rates that Keras' optimizers begin with."""

USUAL_DECAY = 0.004
"""Weight decay that AdamW begins with."""

STEPS = 3.0
"""Learning rates that are tried lie so far apart at least."""

SCALES = ("initial_learning_rate", "end_learning_rate", "warmup_target", "values")
"""Settings of Keras' schedules that are learning rates."""


def other_rate(case: Case) -> Recipes:
    """Learning rates: what did best in short trainings, and usual ones."""
    rate = _rate(case)
    if rate is None:
        return []
    usual = _usual(case)
    if "high" in case.finding.kind:
        wanted = [*_by_trial(case, rate, higher=False), usual, 10 * usual, usual / 10]
        wanted = [each for each in wanted if each < rate]
    elif rate > 0:
        wanted = [*_by_trial(case, rate, higher=True), usual, 10 * usual]
        wanted = [each for each in wanted if each > rate]
    else:
        wanted = [*([-rate] if rate < 0 else []), usual, 10 * usual]
    return [_with_rate(case, each, rate) for each in _apart(wanted)]


def lower_rate(case: Case) -> Recipes:
    """A tenth of the learning rate, and the usual one where that is lower."""
    rate = _rate(case)
    if rate is None or rate <= 0:
        return []
    wanted = [rate / 10, *([_usual(case)] if _usual(case) < rate else [])]
    return [_with_rate(case, each, rate) for each in _apart(wanted)]


def rate_times(case: Case, factor: float) -> Recipes:
    """The learning rate, or all values of its schedule, times a factor.

    Args:
        case: `Case`.
        factor: Float.
    """
    rate = _rate(case)
    if rate is None or rate <= 0:
        return []
    return [_with_rate(case, float(f"{rate * factor:.3g}"), rate)]


def _rate(case: Case) -> float | None:
    """The learning rate; of a schedule the largest, by its size."""
    config = _schedule_config(case)
    if config is not None:
        schedule = keras.optimizers.schedules.deserialize(config)
        steps = {round(step) for step in np.linspace(0, case.num_updates, 20)}
        return max((float(on_host(schedule(step))) for step in steps), key=abs)
    rate = case.recipe.optimizer.get("learning_rate", rate_set(_optimizer(case)))
    return float(rate) if isinstance(rate, float) else None


def _with_rate(case: Case, wanted: float, rate: float) -> Recipe:
    """Another learning rate, or the schedule with another largest one."""
    config = _schedule_config(case)
    if config is None or not rate:
        return case.recipe.with_optimizer(learning_rate=wanted)
    factor = float(f"{wanted / rate:.3g}")
    return case.recipe.with_optimizer(learning_rate=_scaled(config, factor))


def _schedule_config(case: Case) -> dict[str, Any] | None:
    """The schedule of the learning rate, serialized; None where there is none."""
    held = case.recipe.optimizer.get("learning_rate")
    if held is None:
        held = _optimizer(case).get_config().get("learning_rate")
    return held if isinstance(held, dict) else None


def _scaled(schedule: dict[str, Any], factor: float) -> dict[str, Any]:
    """A serialized schedule times a factor; of Keras' own the settings change."""
    config = schedule["config"]
    if str(schedule.get("module", "")).partition(".")[0] != "keras":
        inner = keras.optimizers.schedules.deserialize(schedule)
        return keras.optimizers.schedules.serialize(Scaled(inner, factor))
    scaled = {
        key: np.multiply(config[key], factor).tolist()
        for key in SCALES
        if config.get(key) is not None
    }
    return {**schedule, "config": {**config, **scaled}}


def _by_trial(case: Case, rate: float, higher: bool) -> list[float]:
    """The learning rate with the lowest loss in the diagnosis's short trainings."""
    trial = case.facts.trial
    if trial is None or rate <= 0:
        return []
    runs = {f: run for f, run in trial.by_factor.items() if (f > 1) == higher}
    if not runs:
        return []
    best = min(runs, key=lambda factor: runs[factor].end)
    return [float(rate * best)] if np.isfinite(runs[best].end) else []


def _apart(rates: list[float]) -> list[float]:
    """Learning rates that differ enough for both to be tried, in their order."""
    kept: list[float] = []
    for rate in rates:
        if all(max(rate / each, each / rate) >= STEPS for each in kept):
            kept.append(float(f"{rate:.3g}"))
    return kept[:3]


def _usual(case: Case) -> float:
    return RATES.get(type(_optimizer(case)).__name__, USUAL_RATE)


def _optimizer(case: Case) -> Any:
    """What updates, also where it stands inside of one that scales losses."""
    optimizer = case.model.optimizer
    while getattr(optimizer, "inner_optimizer", None) is not None:
        optimizer = optimizer.inner_optimizer
    return optimizer


def clip_as_usual(case: Case) -> Recipes:
    """Gradients clipped at a global norm of 1, or not at all."""
    none: dict[str, Any] = {"clipnorm": None, "clipvalue": None}
    return [
        case.recipe.with_optimizer(**none, global_clipnorm=1.0),
        case.recipe.with_optimizer(**none, global_clipnorm=None),
    ]


def clip(case: Case) -> Recipes:
    """Gradients clipped at a global norm of 1."""
    return list(clip_as_usual(case))[:1]


def less_decay(case: Case) -> Recipes:
    """The weight decay that AdamW begins with."""
    return [case.recipe.with_optimizer(weight_decay=USUAL_DECAY)]


def longer_schedule(case: Case) -> Recipes:
    """A schedule as long as the training, and its first learning rate."""
    schedule = schedule_set(_optimizer(case))
    if schedule is None:
        return []
    config = _optimizer(case).get_config()
    held = config.get("learning_rate")
    recipes = []
    if isinstance(held, dict) and "decay_steps" in held.get("config", {}):
        settings = {**held["config"], "decay_steps": case.num_updates}
        stretched = {**held, "config": settings}
        recipes.append(case.recipe.with_optimizer(learning_rate=stretched))
    first = float(on_host(schedule(0)))
    if first > 0:
        recipes.append(case.recipe.with_optimizer(learning_rate=first))
    return recipes


def usual_epsilon(case: Case) -> Recipes:
    """The epsilon that Keras' optimizers have."""
    return [case.recipe.with_optimizer(epsilon=1e-7)]


def usual_batches(case: Case) -> Recipes:
    """Batches of 32."""
    return [case.recipe.with_fit(batch_size=32)]


def more_epochs(case: Case) -> Recipes:
    """As many epochs as the budget has updates for; an update for each batch."""
    if case.finding.where == "gradient_accumulation_steps":
        return [case.recipe.with_optimizer(gradient_accumulation_steps=None)]
    rows = case.facts.rows
    if rows is None or rows.num_samples is None:
        return []
    size = case.facts.settings.batch_size or 32
    batches = -(-rows.num_samples // size)
    epochs = case.num_updates // batches
    planned = case.facts.settings.epochs or 1
    if epochs <= planned:
        return []
    return [case.recipe.with_fit(epochs=epochs)]


def unfreeze(case: Case) -> Recipes:
    """All layers train."""
    return [replace(case.recipe, unfrozen=True)]
