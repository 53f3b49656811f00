"""Learning rates and clipping with which no update can be of use, by their bounds."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_deeptools._finding import Finding
from keras_deeptools.diagnosis._audit_subject import Subject
from keras_deeptools.engine._backends.common import on_host
from keras_deeptools.engine._keras_private.optimizers import rate_of
from keras_deeptools.statistics._gradient_detector import FINDER

CLIPS = ("clipnorm", "global_clipnorm", "clipvalue")
STEPPING = ("Adam", "AdamW", "Adamax", "Lion", "Nadam")
"""Optimizers whose first step is the learning rate, for each weight, whatever the
gradient is, unless it is as small as their epsilon."""

NOTHING = 1e-6
"""Part of a kernel's norm: a thousand updates of it change a thousandth."""

EVERYTHING = 1.0
EPSILON_RULES = 0.01
"""Part of epsilon under which what is left of a gradient is lost in it."""

REFERENCE = "the definition of the optimizer's step"


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
    """Learning rates and clipping by which updates are bounded to nothing, or all."""
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


RULES = (rate_not_positive, updates_out_of_scale)
"""The rules of this file."""
