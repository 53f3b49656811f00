"""Wrong settings of the optimizer, and steps that are far too small or too large."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_deeptools._finding import Finding
from keras_deeptools.diagnosis._audit.subject import MEASURED, Subject, listing
from keras_deeptools.engine._backends.common import on_host
from keras_deeptools.engine._keras_private.optimizers import rate_of
from keras_deeptools.engine._update.leaf import optimized_variables
from keras_deeptools.engine._update.step_reads import has_own_train_step
from keras_deeptools.statistics._gradient_detector import FINDER

CLIPS = ("clipnorm", "global_clipnorm", "clipvalue")

STEPPING = ("Adam", "AdamW", "Adamax", "Lion", "Nadam")
"""Optimizers whose first step is the learning rate, for each weight, whatever the
gradient is, unless it is as small as their epsilon."""

NOTHING = 1e-6
"""Fraction of a kernel's norm: a thousand updates of this size change a thousandth."""

EVERYTHING = 1.0
EPSILON_RULES = 0.01
"""Fraction of epsilon under which epsilon, not the gradient, divides the step."""

REFERENCE = "the definition of the optimizer's step"


def several_clips(subject: Subject) -> Iterator[Finding]:
    """More than one kind of clipping, of which Keras takes the first."""
    for where, optimizer in subject.optimizers:
        chosen = [name for name in CLIPS if getattr(optimizer, name, None) is not None]
        if len(chosen) > 1:
            yield Finding(
                "several kinds of clipping",
                where,
                f"{' and '.join(chosen)} are set; only {chosen[0]} is applied.",
                "Set one, or use `GradientClipper`, which applies several.",
                severity="warning",
                evidence={name: float(getattr(optimizer, name)) for name in chosen},
                reference=MEASURED,
            )


def scheduled_weight_decay(subject: Subject) -> Iterator[Finding]:
    """A weight decay that is no number."""
    for where, optimizer in subject.optimizers:
        decay = getattr(optimizer, "weight_decay", None)
        number = isinstance(decay, bool | int | float)
        if decay is not None and decay is not False and not number:
            yield Finding(
                "weight decay that is no number",
                where,
                f"weight_decay is a {type(decay).__name__}; Keras has schedules for "
                "the learning rate only. A step that was compiled with None ignores "
                "it, any other fails.",
                "Make the optimizer with a number, and vary it by "
                "`HyperparameterScheduler`.",
                reference=MEASURED,
            )


def momentum_without_slots(subject: Subject) -> Iterator[Finding]:
    """A momentum that was set after the optimizer had made its variables."""
    for where, optimizer in subject.optimizers:
        momentum = getattr(optimizer, "momentum", None)
        slots = getattr(optimizer, "momentums", None)
        sgd = isinstance(optimizer, keras.optimizers.SGD)
        if sgd and optimizer.built and momentum and not slots:
            yield Finding(
                "momentum without velocities",
                where,
                f"momentum is {momentum:g}, but the optimizer was built with 0 and has "
                "no velocities: a step that was compiled before ignores it, any other "
                "fails.",
                "Make the optimizer with a momentum, and vary it by "
                "`HyperparameterScheduler`.",
                evidence={"momentum": float(momentum)},
                reference=MEASURED,
            )


def schedule_and_accumulation(subject: Subject) -> Iterator[Finding]:
    """A learning-rate schedule that is fed batches where updates are meant."""
    for where, optimizer in subject.optimizers:
        steps = getattr(optimizer, "gradient_accumulation_steps", None) or 1
        config = optimizer.get_config() if steps > 1 else {}
        if isinstance(config.get("learning_rate"), dict):
            yield Finding(
                "schedule that runs ahead",
                where,
                f"With gradient_accumulation_steps={steps} the learning-rate schedule "
                f"counts batches, {steps} for each update.",
                "Stretch the schedule by that factor, or use "
                "`HyperparameterScheduler`, which counts updates.",
                severity="warning",
                evidence={"gradient_accumulation_steps": steps},
                reference=MEASURED,
            )


def averages_outside_constraints(subject: Subject) -> Iterator[Finding]:
    """Weight averaging in a model with constraints."""
    if not any(getattr(it, "use_ema", False) for _, it in subject.optimizers):
        return
    names = [v.path for v in subject.model.variables if v.constraint is not None]
    if names:
        yield Finding(
            "averages outside their constraint",
            listing(names),
            "use_ema averages weights before constraints apply: averages of weights "
            "with a max-norm of 0.5 had norms up to 2.",
            "Use `MaxNormEnforcer`, which projects before the average.",
            severity="warning",
            reference=MEASURED,
        )


def stale_trainables(subject: Subject) -> Iterator[Finding]:
    """Weights that were frozen or unfrozen since the optimizer was built."""
    if len(subject.optimizers) != 1:
        # Several of them share the weights, as the model's own step says.
        return
    updated = optimized_variables(subject.optimizers[0][1])
    known = {id(variable) for variable in updated}
    trainable = {id(variable) for variable in subject.model.trainable_variables}
    changed = [v for v in subject.model.variables if id(v) in known ^ trainable]
    if has_own_train_step(subject.model):
        # It may train some of the weights alone, such as those of a student.
        changed = [v for v in changed if id(v) in known]
    if updated and changed:
        yield Finding(
            "trainable changed without compiling",
            listing(variable.path for variable in changed),
            "The optimizer was built for other weights than are trainable now, as when "
            "layers are frozen or unfrozen after compile. A fit then ignores it or "
            "fails, depending on the backend.",
            "Compile again after changing `trainable`.",
            evidence={"changed_variables": len(changed)},
            reference=MEASURED,
        )


def rate_not_positive(subject: Subject) -> Iterator[Finding]:
    """A learning rate under zero, or zero."""
    for where, optimizer in subject.optimizers:
        rate = _rate(optimizer)
        if rate is not None and rate <= 0:
            yield Finding(
                "learning rate not positive",
                where,
                f"The learning rate is {rate:g}: "
                + ("nothing changes." if rate == 0 else "each update climbs the loss."),
                "Use a positive learning rate.",
                # A callback may set another one.
                severity="warning" if rate == 0 else "problem",
                evidence={"learning_rate": rate},
                code=FINDER,
                reference=REFERENCE,
            )


def updates_out_of_scale(subject: Subject) -> Iterator[Finding]:
    """Learning rates and clipping with which updates change nothing, or everything."""
    kernels = [
        subject.value(variable).astype("float64")
        for _, held in subject.layers
        for role, variable in held.items()
        if role.endswith("kernel") and variable.trainable
    ]
    for where, optimizer in subject.optimizers:
        rate = _rate(optimizer)
        if rate is None or rate <= 0 or not kernels:
            continue
        parts = [_step(optimizer, rate, kernel) for kernel in kernels]
        steps = [each for each in parts if each is not None]
        if steps and max(step for step, _ in steps) < NOTHING:
            yield _nothing(where, optimizer, *max(steps))
        elif steps and float(np.median([step for step, _ in steps])) > EVERYTHING:
            yield _everything(where, rate, steps)


def _rate(optimizer: Any) -> float | None:
    """The learning rate; None for a schedule, or where there is none."""
    with contextlib.suppress(AttributeError, TypeError, ValueError):
        held = rate_of(optimizer)
        if not isinstance(held, keras.optimizers.schedules.LearningRateSchedule):
            return float(on_host(held))
    return None


def _step(optimizer: Any, rate: float, kernel: np.ndarray) -> tuple[float, str] | None:
    """How much of its norm a step can change of a kernel, and the clip that limits it.

    None where nothing bounds it.
    """
    size = float(np.sqrt(np.mean(np.square(kernel))))
    given = {name: getattr(optimizer, name, None) for name in CLIPS}
    name, limit = next(((n, float(v)) for n, v in given.items() if v), ("", np.inf))
    if size == 0:
        return None
    if type(optimizer).__name__ in STEPPING:
        part = limit / max(float(getattr(optimizer, "epsilon", 0) or 0), 1e-30)
        if part < EPSILON_RULES:
            return rate * part / size, f"{name}={limit:g}"
        return rate / size, ""
    if isinstance(optimizer, keras.optimizers.SGD) and name:
        spread = 1.0 if name == "clipvalue" else 1 / np.sqrt(kernel.size)
        velocity = 1 - min(float(optimizer.momentum or 0), 0.999)
        return rate * limit * spread / velocity / size, f"{name}={limit:g}"
    return None


def _nothing(where: str, optimizer: Any, step: float, clip: str) -> Finding:
    evidence = {"most_change": step, "usual_change": 1e-3, "least_change": NOTHING}
    seen = f"an update changes a kernel by {step:.1e} of its norm at most"
    if clip:
        return Finding(
            "clipping stops learning",
            where,
            f"With {clip} {seen}; about 1e-3 is usual.",
            "Clip at the size that gradients usually have, such as 1.",
            evidence=evidence,
            code="keras_deeptools.callbacks.GradientClipper(global_norm=1.0)",
            reference=REFERENCE,
        )
    kind = type(optimizer).__name__
    return Finding(
        "learning rate too low",
        where,
        f"With this learning rate of {kind} {seen}; about 1e-3 is usual.",
        "Raise the learning rate (`find_learning_rate`).",
        severity="warning",
        evidence=evidence,
        code=FINDER,
        reference=REFERENCE,
    )


def _everything(where: str, rate: float, steps: list[tuple[float, str]]) -> Finding:
    step = float(np.median([step for step, _ in steps]))
    return Finding(
        "learning rate too high",
        where,
        f"The first update changes each weight by {rate:g}, the median kernel by "
        f"{step:.2g} times its norm: nothing is left of the initial weights.",
        "Lower the learning rate (`find_learning_rate`).",
        severity="warning",
        evidence={"change": step, "usual_change": 1e-3, "most_change": EVERYTHING},
        code=FINDER,
        reference=REFERENCE,
    )


RULES = (
    several_clips,
    scheduled_weight_decay,
    momentum_without_slots,
    schedule_and_accumulation,
    averages_outside_constraints,
    stale_trainables,
    rate_not_positive,
    updates_out_of_scale,
)
"""The rules of this file."""
